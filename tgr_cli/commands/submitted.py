"""The campaign that `tgr submit` is given: the command line of `tgr inject`, parsed and checked as there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from tgr_cli.commands import as_published, options
from tgr_cli.commands.building import of_function
from tgr_cli.commands.console import Console
from tgr_cli.commands.inject import inject
from tgr_cli.commands.option_conflicts import refuse_idle
from tgr_cli.errors import TgrError

if TYPE_CHECKING:
    from tgr_cli.campaign.config import Config

COMMAND = "inject"
UsageError: Any = typer.BadParameter.__base__  # not exported by typer
OWN = ("quiet", "json")  # options of both commands, which mean the same wherever they stand


@dataclass(frozen=True)
class Campaign:
    """The campaign's config, and the options that were typed, each with its value."""

    config: "Config"
    options: tuple[tuple[str, ...], ...]


def parsed(ctx: typer.Context, words: Sequence[str], console: Console) -> Campaign:
    """Return the campaign of `tgr inject` with these words, "inject" the first, after all checks of that command.

    Raises TgrError for what `tgr inject` refuses, and for another command.
    """
    if words[0] != COMMAND:
        raise TgrError(
            f'"{words[0]}" follows the options of tgr submit, where {COMMAND} and its options are expected, as in "tgr '
            f'submit --local 4 {COMMAND} --model resnet20 --dataset cifar10"'
        )
    inner = _context(ctx, words[1:])
    typed = tuple(_typed(inner))
    as_published.apply(inner)
    for sentence in as_published.sentences(inner):
        console.note(sentence)
    from tgr_cli.campaign.config import Config
    from tgr_cli.preflight import before, named

    if inner.params["shard"] is not None:  # "auto" is none that a config takes
        from tgr_cli.steps.submit import NOT_SUBMITTED, REFUSED

        raise TgrError(NOT_SUBMITTED.format("shard", REFUSED["shard"]))
    named.refuse_unknown(inner.params)
    config = options.configure(Config, {**inner.params, "surface": tuple(inner.params["surface"] or ())})
    for name in ("replay", "junit"):
        if inner.params[name] is not None:
            raise TgrError(f"--{name} cannot be submitted: no shard does it; leave it out")
    refuse_idle(inner)
    before.inject(config, console)
    console.quiet |= inner.params["quiet"]
    console.as_json |= inner.params["json"]
    return Campaign(config, typed)


def _context(ctx: typer.Context, words: Sequence[str]) -> Any:
    try:
        return of_function(COMMAND, inject).make_context(COMMAND, list(words), parent=ctx.parent)
    except UsageError as error:
        option = getattr(error, "option_name", None)
        if option in {opt for parameter in ctx.command.params for opt in parameter.opts}:
            raise TgrError(f"{option} is an option of tgr submit; write it before the word {COMMAND}") from error
        raise


def _typed(inner: Any) -> list[tuple[str, ...]]:
    """Return the options on the command line, each with its value, in their usual spelling."""
    found: list[tuple[str, ...]] = []
    for parameter in inner.command.params:
        source, value = inner.get_parameter_source(parameter.name), inner.params.get(parameter.name)
        if source is None or source.name != "COMMANDLINE" or parameter.name in OWN:
            continue
        option = parameter.opts[0]
        if getattr(parameter, "is_flag", False):
            found.append((option,))
        else:
            found += [(option, str(one)) for one in (value if isinstance(value, list | tuple) else [value])]
    return found
