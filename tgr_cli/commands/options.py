"""Options shared by several commands, and the mapping from a command's options to its step's config."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from tgr_cli import defaults
from tgr_cli.artifacts.unrecorded import is_recorded

Config = TypeVar("Config")

DATA, MODEL, FORMATS, OUTPUT = "Data", "Model", "Number formats", "Output"

# Upper limit of any count: larger values are typing errors, and could overflow int64.
MANY, AT_ONCE, PIXELS, WORKERS, SEEDS = 10**9, 2**16, 2**14, 1024, 2**63 - 1


_hints = cache(get_type_hints)


def configure(kind: type[Config], options: Mapping[str, Any]) -> Config:
    """Return a config of this kind from the options with the same names; nested configs likewise."""
    hints = _hints(kind)  # type: ignore[arg-type]
    values = {
        field.name: configure(hints[field.name], options) if is_dataclass(hints[field.name]) else options[field.name]
        for field in fields(kind)  # type: ignore[arg-type]
        if is_recorded(field)
    }
    return kind(**values)


Format = Annotated[
    str | None,
    typer.Option(
        help="Deploy the model in this number format: each layer's output is rounded to it, and faults strike its "
        'words; one of "tgr formats" (default: the model\'s own).',
        rich_help_panel=FORMATS,
    ),
]
WeightFormat = Annotated[
    str | None,
    typer.Option(
        help='Store the weights of the layers in this number format; one of "tgr formats" (default: the model\'s own).',
        rich_help_panel=FORMATS,
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        help="imagenet, cifar10, cifar100, food101, stl10, mnist, fashion_mnist, gtsrb, digits, "
        "imagefolder:PATH or parquet:PATH.",
        rich_help_panel=DATA,
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        help=f"Folder that holds the named data sets (default: {defaults.DATA_ROOT}).",
        envvar="TGR_DATA",
        rich_help_panel=DATA,
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Download the data set where it is missing.", rich_help_panel=DATA)
]
TrainData = Annotated[
    Path | None,
    typer.Option(help="Train on this Parquet file or image folder instead of the train split.", rich_help_panel=DATA),
]
EvalData = Annotated[
    Path | None,
    typer.Option(
        help="Evaluate on this Parquet file or image folder instead of the evaluation split.", rich_help_panel=DATA
    ),
]
ClassNames = Annotated[
    Path | None,
    typer.Option(help="Text file with one class name per line, in label order.", rich_help_panel=DATA),
]
Name = Annotated[
    str | None,
    typer.Option(help="Name of the data set's folder in the workdir (default: from --dataset).", rich_help_panel=DATA),
]
Images = Annotated[
    int | None,
    typer.Option(
        min=1, max=MANY, help="Use N images, at even steps through the split (default: all).", rich_help_panel=DATA
    ),
]
Resize = Annotated[
    int | None,
    typer.Option(min=1, max=PIXELS, help="Resize the shorter side to this many pixels.", rich_help_panel=DATA),
]
Crop = Annotated[
    int | None,
    typer.Option(min=1, max=PIXELS, help="Side of the centre crop: the network's input.", rich_help_panel=DATA),
]
Mean = Annotated[
    str | None, typer.Option(help="Channel means for normalisation, as 0.485,0.456,0.406.", rich_help_panel=DATA)
]
Std = Annotated[
    str | None,
    typer.Option(help="Channel standard deviations for normalisation, as 0.229,0.224,0.225.", rich_help_panel=DATA),
]
Interpolation = Annotated[
    str | None,
    typer.Option(
        help="nearest, nearest-exact, bilinear, bicubic, lanczos, box or hamming, for resizing.", rich_help_panel=DATA
    ),
]
CropMode = Annotated[
    str | None,
    typer.Option(
        help="center (resize the shorter side, then crop), pad (the same, padded with black if smaller), squash "
        "(resize both sides, ignoring the aspect ratio) or border (resize the longer side, pad with the mean colour).",
        rich_help_panel=DATA,
    ),
]

Model = Annotated[
    str,
    typer.Option(
        help='A name from "tgr models", torchvision:NAME, timm:NAME, hf-hub:REPO, onnx:FILE, or module:function.',
        rich_help_panel=MODEL,
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(help="Weights to load: safetensors, or a state dict saved by torch.", rich_help_panel=MODEL),
]
CheckpointKey = Annotated[
    str | None,
    typer.Option(
        help='Which of several weights in a checkpoint to load, as "state_dict_ema" (default: the averaged ones).',
        rich_help_panel=MODEL,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="The library's pretrained tag, DEFAULT, or none for random weights. Without it: the run's trained model, "
        "else DEFAULT.",
        rich_help_panel=MODEL,
    ),
]
Head = Annotated[
    str | None, typer.Option(help="baseline, cosine or text: which of the model's runs.", rich_help_panel=MODEL)
]
Init = Annotated[
    str | None,
    typer.Option(help="random, template or descriptions: which initialisation of the head.", rich_help_panel=MODEL),
]
TrainSeed = Annotated[
    int | None,
    typer.Option(
        min=0, max=SEEDS, help="Seed the run was trained with, where there are several.", rich_help_panel=MODEL
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(
        help='Name of the run that "tgr train --variant" gave it (default: the run without one).', rich_help_panel=MODEL
    ),
]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, mps.", rich_help_panel=MODEL)]
BatchSize = Annotated[int, typer.Option(min=1, max=AT_ONCE, help="Images per forward pass.", rich_help_panel=MODEL)]
Workers = Annotated[int, typer.Option(min=0, max=WORKERS, help="Processes that load images.", rich_help_panel=DATA)]

Workdir = Annotated[
    Path,
    typer.Option(
        help="Folder in which all commands store and find their artifacts.",
        envvar="TGR_WORKDIR",
        rich_help_panel=OUTPUT,
    ),
]
Out = Annotated[Path | None, typer.Option(help="Write the artifact here instead.", rich_help_panel=OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout instead of a table.", rich_help_panel=OUTPUT)]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print no notes and no progress.", envvar="TGR_QUIET", rich_help_panel=OUTPUT),
]
Seed = Annotated[int, typer.Option(min=0, max=SEEDS, help="Seed of every random choice.")]
Target = Annotated[
    str,
    typer.Option(
        help="What to inject faults into: neuron (activations), weight, bias or buffer.", rich_help_panel=MODEL
    ),
]
Targets = Annotated[
    str, typer.Option(help="Operations to inject faults into, of conv, linear and matmul.", rich_help_panel=MODEL)
]
CountBy = Annotated[
    str,
    typer.Option(
        help="Unit that counts equally in SDC coverage: neurons (as published), sites, or macs (multiply-accumulates)."
    ),
]
AllowDifferent = Annotated[
    list[str] | None,
    typer.Option(
        help="Compare runs that differ in this setting, instead of refusing: limit, ranges (the images these were "
        "profiled on), format (of two models), fault-model, strike, granularity, pattern, targets, label or "
        "all-images; repeat for more.",
        show_default=False,
    ),
]
