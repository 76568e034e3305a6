"""`tgr profile-ranges`: the fault-free values at a model's sites."""

from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.as_published import AsPublished
from tgr_cli.commands.console import count, number
from tgr_cli.commands.session import session


def profile_ranges(
    ctx: typer.Context,
    model: o.Model,
    dataset: o.Dataset = defaults.DATASET,
    data_root: o.DataRoot = None,
    download: o.Download = False,
    train_data: o.TrainData = None,
    eval_data: o.EvalData = None,
    class_names: o.ClassNames = None,
    name: o.Name = None,
    images: Annotated[
        int,
        typer.Option(
            min=1,
            help="Profile on N images, at even steps through the train split (all, where there are fewer).",
            rich_help_panel=o.DATA,
        ),
    ] = defaults.PROFILED_IMAGES,
    resize: o.Resize = None,
    crop: o.Crop = None,
    mean: o.Mean = None,
    std: o.Std = None,
    interpolation: o.Interpolation = None,
    crop_mode: o.CropMode = None,
    checkpoint: o.Checkpoint = None,
    checkpoint_key: o.CheckpointKey = None,
    weights: o.Weights = None,
    head: o.Head = None,
    init: o.Init = None,
    train_seed: o.TrainSeed = None,
    variant: o.Variant = None,
    as_published: AsPublished = None,
    format: o.Format = None,
    weight_format: o.WeightFormat = None,
    targets: o.Targets = defaults.TARGETS,
    after_activations: Annotated[
        bool,
        typer.Option(
            "--after-activations",
            help='Profile what activation functions, pooling and concatenation give, for "tgr guard", in place of the '
            "sites.",
            rich_help_panel=o.MODEL,
        ),
    ] = False,
    batch_size: o.BatchSize = defaults.BATCH_SIZE,
    workers: o.Workers = defaults.WORKERS,
    device: o.Device = defaults.DEVICE,
    workdir: o.Workdir = defaults.WORKDIR,
    out: o.Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Record the values at each site over the train split, without faults; the largest are the range limits.

    Without a train split: over the evaluation images, which include those that "tgr inject" uses.
    """
    from tgr_cli.data.source import DataSource
    from tgr_cli.models.source import ModelSource
    from tgr_cli.preflight import before

    with session(ctx) as console:
        data, source = o.configure(DataSource, locals()), o.configure(ModelSource, locals())
        before.profile_ranges(data, source, workdir, console)
        from tgr_cli.steps import profile_ranges as step

        result = step.run(o.configure(step.Config, locals()), console)
        console.wrote(result.path)
    names = list(result.columns)
    rows = list(zip(*result.columns.values(), strict=True))
    if json:
        console.json([dict(zip(names, row, strict=True)) for row in rows])
        return
    console.table(
        f"{result.loaded.run.name}: ranges over {count(result.images)} images",
        [name.replace("99_", "99.").replace("_", " ") for name in names],
        [tuple(cell if isinstance(cell, str) else number(cell) for cell in row) for row in rows],
    )
