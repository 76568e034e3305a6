"""`tgr cam`: saliency maps before and after faults in the weights."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.console import count
from tgr_cli.commands.session import session
from tgr_cli.errors import TgrError

if TYPE_CHECKING:
    from tgr_cli.steps.cam import Summary

MAPS = ("map_before", "map_after")


def cam(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Run folders of one or two trained models, by name or path.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Instead of a run: a model as for tgr inject, with --checkpoint, --weights or --head.",
            rich_help_panel=o.MODEL,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Second model beside --model: a run folder, or another checkpoint of the same model.",
            rich_help_panel=o.MODEL,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Module whose output is explained (default: the last with spatial maps).", rich_help_panel=o.MODEL
        ),
    ] = None,
    format: o.Format = None,
    weight_format: o.WeightFormat = None,
    faults: Annotated[
        int, typer.Option(min=1, max=o.MANY, help="Single-bit faults in the weights, all present at once.")
    ] = defaults.CAM_FAULTS,
    limit: Annotated[
        str,
        typer.Option(help="Range limit of a faulty weight, by its tensor's max-abs: clamp, zero (if outside), none."),
    ] = defaults.LIMIT,
    label: Annotated[
        str, typer.Option(help="Class to explain: golden (each model's prediction without faults) or true.")
    ] = defaults.CAM_LABEL,
    seed: o.Seed = defaults.SEED,
    dataset: o.Dataset = defaults.DATASET,
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=o.MANY,
            help=f"Explain N images, at even steps through the split (default: {defaults.CAM_IMAGES}).",
            rich_help_panel=o.DATA,
        ),
    ] = None,
    image_id: Annotated[
        list[str] | None,
        typer.Option(help="Explain this image; repeat for more.", show_default=False, rich_help_panel=o.DATA),
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
    checkpoint: o.Checkpoint = None,
    checkpoint_key: o.CheckpointKey = None,
    weights: o.Weights = None,
    head: o.Head = None,
    init: o.Init = None,
    train_seed: o.TrainSeed = None,
    variant: o.Variant = None,
    batch_size: Annotated[
        int, typer.Option(min=1, max=o.AT_ONCE, help="Channels a forward pass.", rich_help_panel=o.MODEL)
    ] = defaults.CAM_BATCH_SIZE,
    device: o.Device = defaults.DEVICE,
    workdir: o.Workdir = defaults.WORKDIR,
    out: o.Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Draw saliency maps (Ablation-CAM) of one or two models before and after random faults in the weights.

    Writes a grid of maps as PNG, and how far each map moved (saliency). Two models get the same faults, in the weight
    tensors that both have. With --format or --weight-format each model is as it is when deployed in a number format,
    and faults strike the words that weights are stored in. A few images are an illustration, not a measurement; for
    that use tgr inject.
    """
    from tgr_cli.data.source import DataSource
    from tgr_cli.models.source import ModelSource
    from tgr_cli.preflight import before

    of_model = {
        "checkpoint": checkpoint,
        "checkpoint-key": checkpoint_key,
        "weights": weights,
        "head": head,
        "init": init,
        "train-seed": train_seed,
        "variant": variant,
    }
    stray = next((option for option, value in of_model.items() if value is not None), None)
    if model is None and stray is not None:
        raise TgrError(f"--{stray} says which weights of --model, and a run folder has its own; leave one out")
    with session(ctx) as console:
        given = locals() | {"runs": runs or (), "image_id": image_id or ()}
        given["source"] = None if model is None else o.configure(ModelSource, given)
        before.cam(o.configure(DataSource, given), given["runs"], given["source"], workdir, console)
        from tgr_cli.steps import cam as step

        result = step.run(o.configure(step.Config, given), console)
        console.wrote(result.grid, result.path)
    if json:
        rows = [{name: value for name, value in row.items() if name not in MAPS} for row in result.rows]
        models = [vars(summary) for summary in result.summaries]
        console.json({"saliency": result.path, "grid": result.grid, "models": models, "rows": rows})
        return
    for summary in result.summaries:
        console.table(
            f"{summary.model} at {summary.layer}: Ablation-CAM before and after the faults",
            ("image", "before", "probability", "after", "probability", "correlation", "shift (of diagonal)"),
            [_cells(row, result.classes) for row in result.rows if row["model"] == summary.model],
        )
    cells = [_means(summary) for summary in result.summaries]
    console.table(
        f"Over {result.summaries[0].images} images: an illustration, not a measurement",
        ("figure", *(summary.model for summary in result.summaries)),
        [(meaning, *(column[meaning] for column in cells)) for meaning in cells[0]],
    )


def _cells(row: dict[str, Any], classes: tuple[str, ...]) -> tuple[str, ...]:
    after = row["prediction_after"]
    return (
        row["image_id"],
        classes[row["prediction_before"]],
        _fixed(row["top1_before"]),
        "not finite" if after is None else classes[after],
        *(_fixed(row[name]) for name in ("top1_after", "correlation", "shift")),
    )


def _means(summary: "Summary") -> dict[str, str]:
    return {
        "mean correlation of the maps": f"{_fixed(summary.correlation)} ({summary.correlated} images)",
        "mean shift, of the diagonal": f"{_fixed(summary.shift)} ({summary.shifted} images)",
        "mean probability of the explained class, before": _fixed(summary.explained_before),
        "mean probability of the explained class, after": _fixed(summary.explained_after),
        "images right without the faults": count(summary.correct),
        "images with another prediction after": count(summary.changed),
        "images with logits not finite after": count(summary.non_finite),
    }


def _fixed(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
