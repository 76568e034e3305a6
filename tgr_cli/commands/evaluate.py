"""`tgr evaluate`: a model's accuracy without faults."""

from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.as_published import AsPublished
from tgr_cli.commands.console import count, in_percent, number
from tgr_cli.commands.session import session


def evaluate(
    ctx: typer.Context,
    model: o.Model,
    dataset: o.Dataset = defaults.DATASET,
    data_root: o.DataRoot = None,
    download: o.Download = False,
    train_data: o.TrainData = None,
    eval_data: o.EvalData = None,
    class_names: o.ClassNames = None,
    name: o.Name = None,
    images: o.Images = None,
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
    targets: Annotated[
        str,
        typer.Option(
            help="Operations whose outputs are rounded to --format, of conv, linear and matmul.",
            rich_help_panel=o.MODEL,
        ),
    ] = defaults.TARGETS,
    batch_size: o.BatchSize = defaults.BATCH_SIZE,
    workers: o.Workers = defaults.WORKERS,
    device: o.Device = defaults.DEVICE,
    workdir: o.Workdir = defaults.WORKDIR,
    out: o.Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Classify the evaluation split without faults: accuracy, loss, and Top2Diff of every image.

    With --format or --weight-format: as the model is when it is deployed in a number format.
    """
    from tgr_cli.data.source import DataSource
    from tgr_cli.models.source import ModelSource
    from tgr_cli.preflight import before

    with session(ctx) as console:
        data, source = o.configure(DataSource, locals()), o.configure(ModelSource, locals())
        before.evaluate(data, source, workdir, console, calibrated=format is not None)
        from tgr_cli.steps import evaluate as step

        result = step.run(o.configure(step.Config, locals()), console)
        console.wrote(result.path)
    figures = result.figures
    if json:
        console.json(
            {
                "run": result.loaded.run.name,
                "origin": result.loaded.origin,
                "format": result.format,
                "weight_format": result.weight_format,
                "images": figures.images,
                "top1": figures.top1,
                "top5": figures.top5,
                "loss": figures.loss,
                "top2diff": figures.top2diff,
                "golden": result.path,
            }
        )
        return
    console.table(
        f"{result.name} ({result.loaded.origin})",
        ("images", "top-1 (%)", "top-5 (%)", "mean loss (nats)", "mean Top2Diff of correct images"),
        [
            (
                count(figures.images),
                in_percent(figures.top1),
                in_percent(figures.top5),
                number(figures.loss),
                number(figures.top2diff),
            )
        ],
    )
