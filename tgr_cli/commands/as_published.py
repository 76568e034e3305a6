"""`--as-published`: a paper's protocol as a command's options, beneath those that are given beside it.

A protocol has the rank of its own source: typed, it replaces what tgr.toml and the environment set, and gives way to
what is typed beside it; set in tgr.toml, it gives way to all that is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from tgr_cli.naming import bare, option, typed
from tgr_cli.published.protocols import PROTOCOLS, options_of

NAME, META = "as_published", "tgr.as_published"
RANKS = {"DEFAULT": 0, "DEFAULT_MAP": 1, "ENVIRONMENT": 2, "COMMANDLINE": 3}
PLACES = {"DEFAULT_MAP": "in tgr.toml", "ENVIRONMENT": "in the environment"}

AsPublished = Annotated[
    str | None,
    typer.Option(
        help="Set the options of a paper's protocol, neurips (2023) or issre (2021), and print them; an option that is "
        "given beside it wins.",
    ),
]


@dataclass(frozen=True)
class Applied:
    """What a protocol did: the options that it set, those given otherwise, and those that it replaced."""

    protocol: str
    chosen: Mapping[str, Any]
    kept: Mapping[str, Any] = field(default_factory=dict)  # the published values of options that were given otherwise
    replaced: Mapping[str, str] = field(default_factory=dict)  # the place where an option is set otherwise


def apply(ctx: Any) -> None:
    """Set the options of the protocol that `--as-published` names, if any; raises TgrError if it does not know it."""
    protocol = ctx.params.get(NAME)
    if protocol is None:
        return
    own, chosen, kept, replaced = _source(ctx, NAME), {}, {}, {}
    for name, published in options_of(protocol, ctx.command.name).items():
        now, source = _plain(ctx.params[name]), _source(ctx, name)
        given = source != "DEFAULT" and RANKS[source] >= RANKS[own]
        if given and now != _plain(published):
            kept[name] = published
        elif not given:
            if source != "DEFAULT" and now != _plain(published):
                replaced[name] = PLACES[source]
            chosen[name] = published
    ctx.params |= {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}
    ctx.meta[META] = Applied(protocol, chosen, kept, replaced)


def source_of(ctx: Any, name: str) -> str | None:
    """Return the option that set the option `name`, as "--as-published issre"; None if no protocol did."""
    applied: Applied | None = ctx.meta.get(META)
    return f"--as-published {applied.protocol}" if applied and name in applied.chosen else None


def sentences(ctx: Any) -> list[str]:
    """Return what the protocol set, and what it did not set or replaced, in a sentence each."""
    applied: Applied | None = ctx.meta.get(META)
    if applied is None:
        return []
    named = f"--as-published {applied.protocol}"
    said = [f"{named} sets {_listed(applied.chosen)} ({PROTOCOLS[applied.protocol].source})"]
    for name, published in applied.kept.items():
        said.append(f"{typed(name, ctx.params[name])} is kept, as it was given; published: {bare(published)}")
    for place in sorted(set(applied.replaced.values())):
        options = [option(name) for name, where in applied.replaced.items() if where == place]
        said.append(f"{named} replaces {', '.join(options)} as set {place}")
    return said


def _source(ctx: Any, name: str) -> str:
    source = ctx.get_parameter_source(name)
    return source.name if source is not None and source.name in RANKS else "DEFAULT"


def _plain(value: Any) -> Any:
    """Return the value so that an option that is not given equals one that is empty, and lists equal tuples."""
    if isinstance(value, list | tuple):
        return tuple(value) or None
    return None if value is False else value


def _listed(chosen: Mapping[str, Any]) -> str:
    if not chosen:
        return "nothing"
    given = [typed(name, value) for name, value in chosen.items() if _plain(value) is not None]
    without = [option(name) for name, value in chosen.items() if _plain(value) is None]
    return " ".join(given) + (f", and no {', '.join(without)}" if without else "")
