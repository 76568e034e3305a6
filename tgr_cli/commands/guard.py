"""`tgr guard`: a model that checks and bounds its own operations."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.session import session


def guard(
    ctx: typer.Context,
    model: o.Model,
    technique: Annotated[
        list[str],
        typer.Option(
            help="ranger (clips what follows activation functions to its range), clip (sets activations outside their "
            "range to 0), relu6 (lets every ReLU end at 6), flr or filr (computes the feature maps twice that "
            '"tgr protect" chose), abft (compares the channels of every layer with a checksum), parity or secded '
            "(check every stored tensor as it is read), tmr-head (computes the last layer three times); "
            "repeat for more.",
            show_default=False,
        ),
    ],
    on_error: Annotated[
        str | None,
        typer.Option(
            help="What a failed check leads to: rerun (computed again), median (a stored value becomes its "
            "tensor's median), zero (what is wrong becomes 0) or flag (all logits of the image become NaN). "
            "Default: rerun; for stored values, which cannot be computed again, median.",
            show_default=False,
        ),
    ] = None,
    ranges: Annotated[
        Path | None,
        typer.Option(
            help='Ranges after activations (default: the run\'s, of "tgr profile-ranges --after-activations").',
            show_default=False,
        ),
    ] = None,
    protection: Annotated[
        Path | None,
        typer.Option(
            help='Artifact of "tgr protect" with the chosen feature maps (default: the workspace\'s).',
            show_default=False,
        ),
    ] = None,
    save_as: Annotated[
        str | None,
        typer.Option(help="Variant name of the protected model (default: the techniques).", show_default=False),
    ] = None,
    dataset: o.Dataset = defaults.DATASET,
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
    checkpoint: o.Checkpoint = None,
    checkpoint_key: o.CheckpointKey = None,
    weights: o.Weights = None,
    head: o.Head = None,
    init: o.Init = None,
    train_seed: o.TrainSeed = None,
    variant: o.Variant = None,
    device: o.Device = defaults.DEVICE,
    workdir: o.Workdir = defaults.WORKDIR,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Write a protected model: the same weights, with guards that every command runs it under.

    It is a run of its own: "tgr inject --variant NAME" strikes it under its guards, and "tgr compare" sets it beside
    the model from which it was made. docs/guards.md has the techniques.
    """
    from tgr_cli.data.source import DataSource
    from tgr_cli.models.source import ModelSource
    from tgr_cli.preflight import before

    with session(ctx) as console:
        data, source = o.configure(DataSource, locals()), o.configure(ModelSource, locals())
        before.evaluate(data, source, workdir, console)
        from tgr_cli.steps import guard as step

        result = step.run(o.configure(step.Config, locals()), console)
        console.wrote(result.run.weights)
        console.wrote(result.run.card)
    if json:
        console.json({"run": result.run.path, "guards": result.guards})
        return
    for summary in result.guards:
        console.line(f"{result.run.name}: {summary}")
    strike = f'"tgr inject" with the same options of model and data, and --variant {result.variant}, strikes it'
    console.line(f'{strike}; "tgr compare {result.unguarded.name} {result.run.name}" then sets both side by side')
