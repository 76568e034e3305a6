"""`tgr embed`: class embeddings from descriptions, templates, a stored matrix, or at random."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.console import count
from tgr_cli.commands.describe import NO_IMAGES, Prompts
from tgr_cli.commands.embed_output import embeddings_json, print_embeddings
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
    dataset: Dataset = defaults.DATASET,
    init: Annotated[
        str, typer.Option(help="Source of the embeddings: descriptions, template or random.")
    ] = defaults.INIT,
    encoder: Annotated[
        str | None, typer.Option(help=f"openclip or tfidf (default: {defaults.ENCODER}).", rich_help_panel=ENCODER)
    ] = None,
    clip_model: Annotated[
        str | None,
        typer.Option(
            help=f"Any model of open_clip, hf-hub:OWNER/NAME or local-dir:FOLDER (default: {defaults.CLIP_MODEL}).",
            rich_help_panel=ENCODER,
        ),
    ] = None,
    clip_pretrained: Annotated[
        str | None,
        typer.Option(
            help=f"Pretrained tag of that model, or a local checkpoint (default: {defaults.CLIP_PRETRAINED}).",
            rich_help_panel=ENCODER,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help=f"Precision of CLIP: fp32, fp16 or bf16 (default: {defaults.PRECISION}).", rich_help_panel=ENCODER
        ),
    ] = None,
    embedding_dim: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=o.AT_ONCE,
            help=f"Dimensions, for random (default: {defaults.RANDOM_DIM}) and tfidf (default: as many as its texts "
            "allow, up to 1024).",
        ),
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            help="Read the embeddings from this .npy or .pth file, one row per class.", rich_help_panel=MATRIX
        ),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(help="Text file with the row number of each class, one per line, from 0.", rich_help_panel=MATRIX),
    ] = None,
    row_names: Annotated[
        str | None,
        typer.Option(
            help="Names of the rows, to match classes: imagenet (names and wnids), another data set, or a text file.",
            rich_help_panel=MATRIX,
        ),
    ] = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="Also write each text's embedding, beside the class embeddings.")
    ] = False,
    descriptions: Annotated[Path | None, typer.Option(help="Read these descriptions instead of the workdir's.")] = None,
    prompts: Prompts = None,
    seed: Seed = defaults.SEED,
    class_names: ClassNames = None,
    name: Name = None,
    device: Device = defaults.DEVICE,
    workdir: Workdir = defaults.WORKDIR,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make one embedding per class of a data set: the initial weights of a text-guided head."""
    options = {**locals(), **NO_IMAGES}
    from tgr_cli.preflight import before
    from tgr_cli.steps import embed as step

    with session(ctx) as console:
        config = configure(step.Config, options)
        made_of = config.described_in if init == "descriptions" and from_file is None else None
        before.embed(made_of, config.data.dataset, from_file, rows, config.clip)
        result = step.run(config, console)
        console.wrote(*([result.all_path] if result.all_path else []), result.path)
    seen = result.digest
    if json:
        console.json(
            {
                "file": result.path,
                "all": result.all_path,
                "init": result.init,
                "encoder": result.encoder,
                "truncated": result.truncated,
                **embeddings_json(seen),
            }
        )
        return
    facts = [("init", result.init), ("encoder", result.encoder)]
    facts += [("texts cut", count(result.truncated))] if result.truncated else []
    print_embeddings(console, seen, facts)
