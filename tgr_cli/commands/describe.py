"""`tgr describe`: descriptions of classes."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.console import Console, count
from tgr_cli.commands.llm_consent import agree, said, show
from tgr_cli.commands.options import DATA, ClassNames, Dataset, Json, Name, Out, Quiet, Workdir, configure
from tgr_cli.commands.session import session
from tgr_cli.errors import TgrError

if TYPE_CHECKING:
    from tgr_cli.steps.describe import Result

LLM = "Language model"
SHOWN = 5  # number of descriptions printed for the first class, and of questions without one

Prompts = Annotated[
    Path | None,
    typer.Option(help="Your own prompts: a TOML file like those that come with tgr.", rich_help_panel=DATA),
]

# Only class names are read, so options for the location of images are left out.
NO_IMAGES = {"data_root": None, "download": False, "train_data": None, "eval_data": None}


def describe(
    ctx: typer.Context,
    dataset: Dataset = defaults.DATASET,
    source: Annotated[
        str | None,
        typer.Option(help="stored, llm or template (default: stored where every class has descriptions, else llm)."),
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            help="Import descriptions: JSON of a list of sentences per class, as CuPL's, or CSV class,description."
        ),
    ] = None,
    prompts: Prompts = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Text file of questions to ask instead, one per line, with the placeholder {a_class}.",
            rich_help_panel=LLM,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="Any OpenAI-compatible server (default: https://api.openai.com/v1).", rich_help_panel=LLM),
    ] = None,
    llm: Annotated[
        str | None, typer.Option(help="Name of the model (default, at OpenAI: gpt-4o-mini).", rich_help_panel=LLM)
    ] = None,
    temperature: Annotated[
        str,
        typer.Option(
            metavar="FLOAT|none",
            help="Sampling temperature, 0 to 2, or none to send no temperature, for models that reject it.",
            rich_help_panel=LLM,
        ),
    ] = str(defaults.TEMPERATURE),
    max_tokens: Annotated[
        int,
        typer.Option(
            min=1,
            max=o.MANY,
            help="Maximum tokens of an answer, including a model's reasoning.",
            rich_help_panel=LLM,
        ),
    ] = defaults.MAX_TOKENS,
    max_tokens_name: Annotated[
        str | None,
        typer.Option(
            help="The server's name for that limit: max_tokens or max_completion_tokens (default: automatic).",
            rich_help_panel=LLM,
        ),
    ] = None,
    samples_per_question: Annotated[
        int, typer.Option(min=1, max=o.AT_ONCE, help="Times each question is asked.", rich_help_panel=LLM)
    ] = defaults.SAMPLES_PER_QUESTION,
    concurrency: Annotated[
        int, typer.Option(min=1, max=o.WORKERS, help="Maximum concurrent requests.", rich_help_panel=LLM)
    ] = defaults.CONCURRENCY,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=o.MANY,
            help="Maximum requests per minute, evenly spaced (default: no limit).",
            rich_help_panel=LLM,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Timeout of an answer, in seconds.", rich_help_panel=LLM)
    ] = defaults.TIMEOUT,
    price_in: Annotated[
        float | None, typer.Option(min=0, help="Price per million input tokens.", rich_help_panel=LLM)
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(min=0, help="Price per million output tokens.", rich_help_panel=LLM)
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be asked and its cost; send nothing.", rich_help_panel=LLM),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Start without asking for confirmation.", rich_help_panel=LLM)
    ] = False,
    class_names: ClassNames = None,
    name: Name = None,
    workdir: Workdir = defaults.WORKDIR,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Describe every class of a data set in sentences; only class names are needed, no images."""
    options = {**locals(), **NO_IMAGES, "temperature": _temperature(temperature)}
    from tgr_cli.steps import describe as step

    given = ctx.get_parameter_source("yes")
    # A tgr.toml that comes with someone else's folder must not spend the user's key.
    if yes and given is not None and given.name == "DEFAULT_MAP":
        raise TgrError("tgr.toml sets yes, and only who runs the command can agree; take it out there, and add --yes")
    config = configure(step.Config, options)
    estimate = step.estimate(config)
    if dry_run:
        show(Console(as_json=json), config, estimate)
        return
    if estimate is not None and estimate.requests:
        config.endpoint.key()
        if yes:
            Console(quiet=quiet).note(f"This puts {said(config, estimate)}.")
        else:
            agree(said(config, estimate))
    with session(ctx) as console:
        result = step.run(config, console)
        console.wrote(result.path)
        if result.usage is not None:
            console.facts["usage"] = asdict(result.usage)
    _tell(console, result)


def _temperature(given: str) -> float | None:
    """Return the value of --temperature, None for "none"."""
    try:
        return None if given.strip().lower() == "none" else float(given)
    except ValueError as error:
        raise TgrError(f'--temperature is "{given}", where a number from 0 to 2 or none is meant') from error


def _tell(console: Console, result: "Result") -> None:
    if console.as_json:
        console.json(
            {
                "file": result.path,
                "source": result.source,
                "classes": len(result.classes),
                "descriptions": len(result.descriptions) - len(result.missing),
                "statuses": result.statuses,
                "undescribed": result.undescribed,
                "missing": [
                    {"class": d.class_name, "question": d.question, "sample": d.sample, "status": d.status}
                    for d in result.missing
                ],
                "usage": asdict(result.usage) if result.usage else None,
            }
        )
        return
    console.line(
        f"{count(len(result.descriptions) - len(result.missing))} {result.source} descriptions of "
        f"{count(len(result.classes))} classes"
    )
    for described in result.descriptions[:SHOWN]:
        if described.class_index == 0 and described.status == "ok":
            console.line(f"  {described.class_name}: {described.text}")
    if result.missing:
        _tell_missing(console, result)
    if result.usage is not None:
        used = result.usage
        cost = "" if used.cost is None else f", cost {used.cost:.2f}"
        tokens = f"{count(used.tokens_in)} tokens in and {count(used.tokens_out)} out"
        console.line(f"{count(used.answers)} answers took {tokens}{cost}")
        if used.cleaned or used.cut:
            console.line(
                f"{count(used.cleaned)} were cleaned of characters that are no text, {count(used.cut)} cut short"
            )
        if used.trimmed:
            console.line(f"{count(used.trimmed)} had thoughts, markup or phrases around the description taken off")
        if used.without_temperature:
            console.line(f"{count(used.without_temperature)} were asked without a temperature: the model takes none")


def _tell_missing(console: Console, result: "Result") -> None:
    """Report the questions without a description by status, and the next step."""
    statuses = {status: number for status, number in result.statuses.items() if status != "ok"}
    counted = ", ".join(f"{count(number)} {status}" for status, number in statuses.items())
    console.line(f"{count(len(result.missing))} questions have no description ({counted}):")
    for d in result.missing[:SHOWN]:
        console.line(f"  {d.class_name}: {d.question} ({d.status})")
    if len(result.missing) > SHOWN:
        console.line(f'  and {count(len(result.missing) - SHOWN)} more: see "tgr show {result.path}"')
    if result.undescribed:
        named = ", ".join(result.undescribed[:SHOWN])
        more = f" and {count(len(result.undescribed) - SHOWN)} more" if len(result.undescribed) > SHOWN else ""
        console.line(f'without any description, which "tgr embed" will refuse: {named}{more}')
    if result.advice:
        console.line(f"to have more described, {result.advice}; what is described is not asked again")
