"""`tgr train`: a classifier with a baseline, cosine or text-initialised head."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands import recipe_output
from tgr_cli.commands.console import Console, count, in_percent, number
from tgr_cli.commands.session import session

HEAD, RECIPE, DISTURB, OPTIM = "Head", "Recipe", "Against faults", "Training"


def train(
    ctx: typer.Context,
    model: o.Model,
    dataset: o.Dataset = defaults.DATASET,
    head: Annotated[
        str,
        typer.Option(
            help="baseline (the network as it is), text (class embeddings), or cosine (the text head from random "
            "vectors).",
            rich_help_panel=HEAD,
        ),
    ] = defaults.HEAD,
    init: Annotated[
        str | None,
        typer.Option(
            help=f"Embeddings of --head text: template or descriptions (default: {defaults.INIT}).",
            rich_help_panel=HEAD,
        ),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="Start --head text from these embeddings instead of the workdir's.", rich_help_panel=HEAD),
    ] = None,
    embedding_dim: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=o.AT_ONCE,
            help=f"Length of the random vectors of --head cosine (default: {defaults.RANDOM_DIM}).",
            rich_help_panel=HEAD,
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="Recipe whose values the options below replace: none (the defaults shown), auto (by model and data "
            "set), alexnet_vgg, resnet, mobilenet_v2, maxvit, swin_v2, focalnet (as published), cifar, stl10, food101, "
            "digits or lenet.",
            rich_help_panel=RECIPE,
        ),
    ] = defaults.RECIPE,
    print_recipe: Annotated[
        bool,
        typer.Option(
            "--print-recipe",
            help="Print the recipe with the options applied, and train nothing.",
            rich_help_panel=RECIPE,
        ),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=o.MANY, help="Passes over the train split (default: 30).", rich_help_panel=RECIPE),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, max=o.AT_ONCE, help="Images per step and process (default: 128).", rich_help_panel=RECIPE),
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd or adamw (default: sgd).", rich_help_panel=RECIPE)] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate after the warm-up, not scaled; a recipe's scales with the batch size (default: 0.1).",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Momentum of sgd (default: 0.9).", rich_help_panel=RECIPE)
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(help="Weight decay; never on a text head's scale (default: 1e-4).", rich_help_panel=RECIPE),
    ] = None,
    decay: Annotated[
        str | None,
        typer.Option(
            help="Parameters with weight decay: all, or weights (no biases, norms, position tables) (default: all).",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Learning-rate schedule: step, cosine or constant (default: cosine).", rich_help_panel=RECIPE
        ),
    ] = None,
    step_size: Annotated[
        int | None, typer.Option(min=1, max=o.MANY, help="Epochs between steps (default: 30).", rich_help_panel=RECIPE)
    ] = None,
    gamma: Annotated[
        float | None, typer.Option(help="Factor of each step (default: 0.1).", rich_help_panel=RECIPE)
    ] = None,
    warmup_epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=o.MANY,
            help="Epochs of linear warm-up from 1/100 of --lr (default: 0).",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    min_lr: Annotated[
        float | None,
        typer.Option(help="Final learning rate of the cosine schedule (default: 0).", rich_help_panel=RECIPE),
    ] = None,
    clip_grad_norm: Annotated[
        float | None,
        typer.Option(
            help="Maximum norm of the whole gradient; 0 for no clipping (default: 0).", rich_help_panel=RECIPE
        ),
    ] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            help="Share of the target probability spread over all classes (default: 0).", rich_help_panel=RECIPE
        ),
    ] = None,
    mixup: Annotated[
        float | None,
        typer.Option(help="Mix images and labels with this α; 0 for off (default: 0).", rich_help_panel=RECIPE),
    ] = None,
    cutmix: Annotated[
        float | None,
        typer.Option(
            help="Paste a part of one image into another with this α; 0 for off. With both, each "
            "batch draws one (default: 0).",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="none, flip, crop (shifts by up to 4 pixels, and flips: as usual for CIFAR), imagenet"
            " (random resized crops, and flips), or trivial (those, and TrivialAugment). Digits "
            "and signs must not be flipped (default: none).",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    random_erasing: Annotated[
        float | None,
        typer.Option(help="Probability that a rectangle of an image is erased (default: 0).", rich_help_panel=RECIPE),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=o.AT_ONCE,
            help="Augmented copies of an image per epoch, which then has as many fewer distinct images (default: 1).",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    ema_decay: Annotated[
        float | None,
        typer.Option(
            help="Validate and save an exponential moving average of the weights, with this decay per image and "
            "epoch; 0 for off (default: 0).",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    ema_every: Annotated[
        int | None,
        typer.Option(
            min=1, max=o.MANY, help="Steps between updates of that average (default: 32).", rich_help_panel=RECIPE
        ),
    ] = None,
    amp: Annotated[
        str | None, typer.Option(help="Mixed precision: none, fp16 or bf16 (default: none).", rich_help_panel=RECIPE)
    ] = None,
    sync_bn: Annotated[
        bool | None,
        typer.Option(
            "--sync-bn/--no-sync-bn",
            help="Batch norm over the images of all processes, on CUDA (default: no).",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(help="Probability that a neuron is set to zero while training.", rich_help_panel=DISTURB),
    ] = None,
    dropout_sites: Annotated[
        str | None,
        typer.Option(
            help="Layers with dropout, as conv*,fc1 (default: all convolutions and linear layers except the logits).",
            rich_help_panel=DISTURB,
        ),
    ] = None,
    stimulated: Annotated[
        float | None,
        typer.Option(
            help="Probability that a random bit of a neuron's value is flipped while training; published: 0.2.",
            rich_help_panel=DISTURB,
        ),
    ] = None,
    stimulated_sites: Annotated[
        str | None,
        typer.Option(help="Layers with bit flips (default: as for --dropout-sites).", rich_help_panel=DISTURB),
    ] = None,
    stimulated_bits: Annotated[
        str | None,
        typer.Option(help="Bits to flip, as 0-22,30 (default: all but the sign).", rich_help_panel=DISTURB),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Begin from these weights of the same model and head.", rich_help_panel=OPTIM),
    ] = None,
    checkpoint_key: o.CheckpointKey = None,
    freeze_head: Annotated[
        bool,
        typer.Option("--freeze-head", help="Do not train the logits layer.", rich_help_panel=OPTIM),
    ] = False,
    freeze_backbone: Annotated[
        bool,
        typer.Option(
            "--freeze-backbone",
            help="Train only the logits layer; batch norm's statistics stay fixed too.",
            rich_help_panel=OPTIM,
        ),
    ] = False,
    seed: o.Seed = defaults.SEED,
    variant: Annotated[
        str | None,
        typer.Option(
            help="Suffix of the run folder's name, to distinguish runs of the same model, head and seed; other "
            "commands find the run with --variant NAME.",
            metavar="NAME",
            rich_help_panel=OPTIM,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue from this training's checkpoint.", rich_help_panel=OPTIM),
    ] = False,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=o.MANY,
            help="Steps between checkpoints, besides the one after each epoch.",
            rich_help_panel=OPTIM,
        ),
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the network with torch.compile.", rich_help_panel=OPTIM)
    ] = False,
    images: Annotated[
        int | None,
        typer.Option(
            min=1, max=o.MANY, help="Train on N images drawn by --seed (default: all).", rich_help_panel=o.DATA
        ),
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
    crop_mode: o.CropMode = None,
    workers: o.Workers = defaults.WORKERS,
    device: o.Device = defaults.DEVICE,
    workdir: o.Workdir = defaults.WORKDIR,
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
    """Train a classifier on the train split and validate it after every epoch. The head is the only difference.

    On several devices: torchrun --nproc-per-node N -m tgr_cli train …
    """
    from dataclasses import asdict

    from tgr_cli.data.source import DataSource
    from tgr_cli.preflight import before

    before.refuse_meaningless(head, init, embeddings, embedding_dim)
    before.choices(recipe, model, o.configure(DataSource, locals()), o.configure(before.Overrides, locals()))
    if not print_recipe:
        starts = None if head != "text" else init or defaults.INIT
        data = o.configure(DataSource, locals())
        before.train(data, model, workdir, init=starts, embeddings=embeddings, checkpoint=checkpoint)
    from tgr_cli.steps import train as step

    config = o.configure(step.Config, locals())
    if print_recipe:
        recipe_output.print_recipe(Console(quiet=quiet, as_json=json), config.resolved())
        return
    # Hold the folder's lock until the run records are written: they belong to this run.
    with step.held(config), session(ctx) as console:
        result = step.run(config, console)
        if not result.first:
            return
        console.facts["epochs"] = [asdict(cost) for cost in result.costs]
        console.wrote(*result.written)
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
        ("parameters", "epochs", "train loss (nats)", "validation loss (nats)", "top-1 (%)", "top-5 (%)"),
        [
            (
                count(result.card.params),
                count(last.epoch),
                number(last.train_loss),
                number(last.val_loss),
                in_percent(last.val_top1),
                in_percent(last.val_top5),
            )
        ],
    )
