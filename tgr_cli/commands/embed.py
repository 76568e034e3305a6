"""`tgr embed`: descriptions, templates, a stored matrix or chance to class embeddings."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli.commands.console import count, number
from tgr_cli.commands.describe import NO_IMAGES, Prompts
from tgr_cli.commands.options import (
    ClassNames,
    Dataset,
    Device,
    Json,
    Name,
    Out,
    Quiet,
    Seed,
    Workdir,
    configure,
)
from tgr_cli.commands.session import session

MATRIX = "Stored matrix"
ENCODER = "Encoder"


def embed(
    ctx: typer.Context,
    dataset: Dataset = "imagenet",
    init: Annotated[str, typer.Option(help="descriptions, template or random: what the rows are made of.")] = (
        "descriptions"
    ),
    encoder: Annotated[
        str | None, typer.Option(help="openclip or tfidf (default: openclip).", rich_help_panel=ENCODER)
    ] = None,
    clip_model: Annotated[
        str | None,
        typer.Option(help="Any model of open_clip (default: ViT-B-32-quickgelu).", rich_help_panel=ENCODER),
    ] = None,
    clip_pretrained: Annotated[
        str | None,
        typer.Option(help="A pretrained tag of it, or a local checkpoint (default: openai).", rich_help_panel=ENCODER),
    ] = None,
    embedding_dim: Annotated[
        int | None,
        typer.Option(
            min=1, help="E, for random (default: 512) and tfidf (default: what its texts allow, at most 1024)."
        ),
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(help="Read the rows from this .npy or .pth file instead of encoding.", rich_help_panel=MATRIX),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(help="Pick and order its rows: one row number a line, from 0.", rich_help_panel=MATRIX),
    ] = None,
    descriptions: Annotated[Path | None, typer.Option(help="Read these descriptions instead of the workdir's.")] = None,
    prompts: Prompts = None,
    seed: Seed = 0,
    class_names: ClassNames = None,
    name: Name = None,
    device: Device = "cpu",
    workdir: Workdir = Path("runs"),
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Embed every class of a data set: the rows that a text-guided head starts from."""
    options = {**locals(), **NO_IMAGES}
    from tgr_cli.steps import embed as step

    with session(ctx) as console:
        result = step.run(configure(step.Config, options), console)
        console.wrote(result.path)
    if json:
        console.json(
            {
                "file": result.path,
                "init": result.init,
                "encoder": result.encoder,
                "classes": len(result.classes),
                "dim": result.dim,
                "texts": result.texts,
                "spread": result.spread,
                "closest": [{"first": a, "second": b, "cosine": cosine} for a, b, cosine in result.closest],
            }
        )
        return
    facts = [
        ("init", result.init),
        ("encoder", result.encoder),
        ("classes", count(len(result.classes))),
        ("E", count(result.dim)),
        ("texts", count(result.texts)),
        ("spread (mean cosine of texts to their class)", number(result.spread)),
    ]
    console.table("Class embeddings", ("fact", "value"), facts)
    pairs = [(f"{a}, {b}", number(cosine)) for a, b, cosine in result.closest]
    console.table("Closest classes", ("pair", "cosine"), pairs)
