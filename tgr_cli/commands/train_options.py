"""The options that `tgr train` alone has."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o

HEAD, RECIPE, DISTURB, OPTIM = "Head", "Recipe", "Against faults", "Training"

Head = Annotated[
    str,
    typer.Option(
        help="baseline (the network as it is), text (class embeddings), or cosine (the text head from random vectors).",
        rich_help_panel=HEAD,
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        help=f"Embeddings of --head text: template or descriptions (default: {defaults.INIT}).",
        rich_help_panel=HEAD,
    ),
]
Embeddings = Annotated[
    Path | None,
    typer.Option(help="Start --head text from these embeddings instead of the workdir's.", rich_help_panel=HEAD),
]
EmbeddingDim = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=o.AT_ONCE,
        help=f"Length of the random vectors of --head cosine (default: {defaults.RANDOM_DIM}).",
        rich_help_panel=HEAD,
    ),
]
Recipe = Annotated[
    str,
    typer.Option(
        help="Recipe whose values the options below replace: none (the defaults shown), auto (by model and data "
        "set), alexnet_vgg, resnet, mobilenet_v2, maxvit, swin_v2, focalnet (as published), cifar, stl10, food101, "
        "digits or lenet.",
        rich_help_panel=RECIPE,
    ),
]
PrintRecipe = Annotated[
    bool,
    typer.Option(
        "--print-recipe",
        help="Print the recipe with the options applied, and train nothing.",
        rich_help_panel=RECIPE,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, max=o.MANY, help="Passes over the train split (default: 30).", rich_help_panel=RECIPE),
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, max=o.AT_ONCE, help="Images per step and process (default: 128).", rich_help_panel=RECIPE),
]
Optimizer = Annotated[str | None, typer.Option(help="sgd or adamw (default: sgd).", rich_help_panel=RECIPE)]
Lr = Annotated[
    float | None,
    typer.Option(
        help="Learning rate after the warm-up, not scaled; a recipe's scales with the batch size (default: 0.1).",
        rich_help_panel=RECIPE,
    ),
]
Momentum = Annotated[float | None, typer.Option(help="Momentum of sgd (default: 0.9).", rich_help_panel=RECIPE)]
WeightDecay = Annotated[
    float | None,
    typer.Option(help="Weight decay; never on a text head's scale (default: 1e-4).", rich_help_panel=RECIPE),
]
Decay = Annotated[
    str | None,
    typer.Option(
        help="Parameters with weight decay: all, or weights (no biases, norms, position tables) (default: all).",
        rich_help_panel=RECIPE,
    ),
]
Schedule = Annotated[
    str | None,
    typer.Option(help="Learning-rate schedule: step, cosine or constant (default: cosine).", rich_help_panel=RECIPE),
]
StepSize = Annotated[
    int | None, typer.Option(min=1, max=o.MANY, help="Epochs between steps (default: 30).", rich_help_panel=RECIPE)
]
Gamma = Annotated[float | None, typer.Option(help="Factor of each step (default: 0.1).", rich_help_panel=RECIPE)]
WarmupEpochs = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=o.MANY,
        help="Epochs of linear warm-up from 1/100 of --lr (default: 0).",
        rich_help_panel=RECIPE,
    ),
]
MinLr = Annotated[
    float | None,
    typer.Option(help="Final learning rate of the cosine schedule (default: 0).", rich_help_panel=RECIPE),
]
ClipGradNorm = Annotated[
    float | None,
    typer.Option(help="Maximum norm of the whole gradient; 0 for no clipping (default: 0).", rich_help_panel=RECIPE),
]
LabelSmoothing = Annotated[
    float | None,
    typer.Option(help="Share of the target probability spread over all classes (default: 0).", rich_help_panel=RECIPE),
]
Mixup = Annotated[
    float | None,
    typer.Option(help="Mix images and labels with this α; 0 for off (default: 0).", rich_help_panel=RECIPE),
]
Cutmix = Annotated[
    float | None,
    typer.Option(
        help="Paste a part of one image into another with this α; 0 for off. With both, each "
        "batch draws one (default: 0).",
        rich_help_panel=RECIPE,
    ),
]
Augment = Annotated[
    str | None,
    typer.Option(
        help="none, flip, crop (shifts by up to 4 pixels, and flips: as usual for CIFAR), imagenet"
        " (random resized crops, and flips), or trivial (those, and TrivialAugment). Digits "
        "and signs must not be flipped (default: none).",
        rich_help_panel=RECIPE,
    ),
]
RandomErasing = Annotated[
    float | None,
    typer.Option(help="Probability that a rectangle of an image is erased (default: 0).", rich_help_panel=RECIPE),
]
Repeats = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=o.AT_ONCE,
        help="Augmented copies of an image per epoch, which then has as many fewer distinct images (default: 1).",
        rich_help_panel=RECIPE,
    ),
]
EmaDecay = Annotated[
    float | None,
    typer.Option(
        help="Validate and save an exponential moving average of the weights, with this decay per image and "
        "epoch; 0 for off (default: 0).",
        rich_help_panel=RECIPE,
    ),
]
EmaEvery = Annotated[
    int | None,
    typer.Option(
        min=1, max=o.MANY, help="Steps between updates of that average (default: 32).", rich_help_panel=RECIPE
    ),
]
Amp = Annotated[
    str | None, typer.Option(help="Mixed precision: none, fp16 or bf16 (default: none).", rich_help_panel=RECIPE)
]
SyncBn = Annotated[
    bool | None,
    typer.Option(
        "--sync-bn/--no-sync-bn",
        help="Batch norm over the images of all processes, on CUDA (default: no).",
        rich_help_panel=RECIPE,
    ),
]
Dropout = Annotated[
    float | None,
    typer.Option(help="Probability that a neuron is set to zero while training.", rich_help_panel=DISTURB),
]
DropoutSites = Annotated[
    str | None,
    typer.Option(
        help="Layers with dropout, as conv*,fc1 (default: all convolutions and linear layers except the logits).",
        rich_help_panel=DISTURB,
    ),
]
Stimulated = Annotated[
    float | None,
    typer.Option(
        help="Probability that a random bit of a neuron's value is flipped while training; published: 0.2.",
        rich_help_panel=DISTURB,
    ),
]
StimulatedSites = Annotated[
    str | None,
    typer.Option(help="Layers with bit flips (default: as for --dropout-sites).", rich_help_panel=DISTURB),
]
StimulatedBits = Annotated[
    str | None,
    typer.Option(help="Bits to flip, as 0-22,30 (default: all but the sign).", rich_help_panel=DISTURB),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(help="Begin from these weights of the same model and head.", rich_help_panel=OPTIM),
]
FreezeHead = Annotated[
    bool,
    typer.Option("--freeze-head", help="Do not train the logits layer.", rich_help_panel=OPTIM),
]
FreezeBackbone = Annotated[
    bool,
    typer.Option(
        "--freeze-backbone",
        help="Train only the logits layer; batch norm's statistics stay fixed too.",
        rich_help_panel=OPTIM,
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(
        help="Suffix of the run folder's name, to distinguish runs of the same model, head and seed; other "
        "commands find the run with --variant NAME.",
        metavar="NAME",
        rich_help_panel=OPTIM,
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue from this training's checkpoint.", rich_help_panel=OPTIM),
]
CheckpointEvery = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=o.MANY,
        help="Steps between checkpoints, besides the one after each epoch.",
        rich_help_panel=OPTIM,
    ),
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the network with torch.compile.", rich_help_panel=OPTIM)
]
Images = Annotated[
    int | None,
    typer.Option(min=1, max=o.MANY, help="Train on N images drawn by --seed (default: all).", rich_help_panel=o.DATA),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Write the run into this folder; name its model.safetensors with --checkpoint later.",
        rich_help_panel=o.OUTPUT,
    ),
]
