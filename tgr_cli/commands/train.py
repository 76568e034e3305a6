"""`tgr train`: a classifier with a baseline, cosine or text-initialised head."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli.commands import options as o
from tgr_cli.commands.console import count, number, percent
from tgr_cli.commands.session import session

HEAD, OPTIM = "Head", "Training"


def train(
    ctx: typer.Context,
    model: o.Model,
    dataset: o.Dataset = "imagenet",
    head: Annotated[
        str,
        typer.Option(
            help="baseline (the network as it is), text (class embeddings), or cosine (the text head from random "
            "vectors).",
            rich_help_panel=HEAD,
        ),
    ] = "baseline",
    init: Annotated[
        str | None,
        typer.Option(
            help="Embeddings of --head text: template or descriptions (default: descriptions).", rich_help_panel=HEAD
        ),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="Start --head text from these embeddings instead of the workdir's.", rich_help_panel=HEAD),
    ] = None,
    embedding_dim: Annotated[
        int | None,
        typer.Option(min=1, help="Length of the random vectors of --head cosine (default: 512).", rich_help_panel=HEAD),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the train split.", rich_help_panel=OPTIM)] = 30,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step.", rich_help_panel=OPTIM)] = 128,
    optimizer: Annotated[str, typer.Option(help="sgd or adamw.", rich_help_panel=OPTIM)] = "sgd",
    lr: Annotated[float, typer.Option(help="Learning rate after the warm-up.", rich_help_panel=OPTIM)] = 0.1,
    momentum: Annotated[float, typer.Option(help="Momentum of sgd.", rich_help_panel=OPTIM)] = 0.9,
    weight_decay: Annotated[
        float, typer.Option(help="Weight decay; a text head's scale is left out.", rich_help_panel=OPTIM)
    ] = 1e-4,
    schedule: Annotated[
        str, typer.Option(help="Learning rate over the epochs: step, cosine or constant.", rich_help_panel=OPTIM)
    ] = "cosine",
    step_size: Annotated[int, typer.Option(min=1, help="Epochs between steps.", rich_help_panel=OPTIM)] = 30,
    gamma: Annotated[float, typer.Option(help="Factor of each step.", rich_help_panel=OPTIM)] = 0.1,
    warmup_epochs: Annotated[
        int, typer.Option(min=0, help="Epochs of linear increase from a hundredth of --lr.", rich_help_panel=OPTIM)
    ] = 0,
    min_lr: Annotated[float, typer.Option(help="Where the cosine ends.", rich_help_panel=OPTIM)] = 0.0,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of the target spread over all classes.", rich_help_panel=OPTIM)
    ] = 0.0,
    augment: Annotated[
        str,
        typer.Option(
            help="none, flip, crop (shifts by up to 4 pixels, and flips: as usual for CIFAR), or imagenet (random "
            "resized crops, and flips). Digits and signs must not be flipped.",
            rich_help_panel=OPTIM,
        ),
    ] = "none",
    seed: o.Seed = 0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the last finished epoch of this training.", rich_help_panel=OPTIM),
    ] = False,
    images: Annotated[
        int | None,
        typer.Option(min=1, help="Train on N images drawn by --seed (default: all).", rich_help_panel=o.DATA),
    ] = None,
    data_root: o.DataRoot = None,
    download: o.Download = False,
    train_data: o.TrainData = None,
    eval_data: o.EvalData = None,
    class_names: o.ClassNames = None,
    name: o.Name = None,
    resize: o.Resize = None,
    crop: o.Crop = None,
    mean: o.Mean = None,
    std: o.Std = None,
    interpolation: o.Interpolation = None,
    workers: o.Workers = 0,
    device: o.Device = "cpu",
    workdir: o.Workdir = Path("runs"),
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the run into this folder; name its model.safetensors with --checkpoint later.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a classifier on the train split and validate it after every epoch. The head is the only difference."""
    from dataclasses import asdict

    from tgr_cli.steps import train as step

    with session(ctx) as console:
        result = step.run(o.configure(step.Config, locals()), console)
        console.wrote(result.run.training, result.run.weights)
    if json:
        console.json(
            {
                "run": result.run.name,
                "params": result.card.params,
                "weights": result.run.weights,
                "training": [asdict(epoch) for epoch in result.epochs],
            }
        )
        return
    last = result.epochs[-1]
    console.table(
        result.run.name,
        ("parameters", "epochs", "train loss", "validation loss", "top-1", "top-5"),
        [
            (
                count(result.card.params),
                count(last.epoch),
                number(last.train_loss),
                number(last.val_loss),
                percent(last.val_top1),
                percent(last.val_top5),
            )
        ],
    )
