"""`tgr describe`: class names to descriptions."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli.commands.console import count
from tgr_cli.commands.options import (
    DATA,
    ClassNames,
    Dataset,
    Json,
    Name,
    Out,
    Quiet,
    Workdir,
    configure,
)
from tgr_cli.commands.session import session

Prompts = Annotated[
    Path | None,
    typer.Option(help="Your own prompts: a TOML file like those that come with tgr.", rich_help_panel=DATA),
]

# Class names are all that is read of a data set here: what says where its images lie is left out.
NO_IMAGES = {"data_root": None, "download": False, "train_data": None, "eval_data": None}


def describe(
    ctx: typer.Context,
    dataset: Dataset = "imagenet",
    source: Annotated[
        str | None,
        typer.Option(help="stored or template (default: stored where every class has descriptions, else template)."),
    ] = None,
    prompts: Prompts = None,
    class_names: ClassNames = None,
    name: Name = None,
    workdir: Workdir = Path("runs"),
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Describe every class of a data set in sentences; only class names are needed, no images."""
    options = {**locals(), **NO_IMAGES}
    from tgr_cli.steps import describe as step

    with session(ctx) as console:
        result = step.run(configure(step.Config, options), console)
        console.wrote(result.path)
    if json:
        console.json(
            {
                "file": result.path,
                "source": result.source,
                "classes": len(result.classes),
                "descriptions": len(result.descriptions),
            }
        )
        return
    console.line(
        f"{count(len(result.descriptions))} {result.source} descriptions of {count(len(result.classes))} classes"
    )
    for described in result.descriptions:
        if described.class_index == 0:
            console.line(f"  {described.class_name}: {described.text}")
