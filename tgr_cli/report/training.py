"""Training curves: loss and accuracy by epoch."""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tgr_cli.artifacts.schemas import TRAINING
from tgr_cli.report.figure import Panel, Plot, Table
from tgr_cli.report.measured import Run, alone, charts, key
from tgr_cli.report.plotting import scaled
from tgr_cli.report.theme import Palette
from tgr_cli.report.words import short_percent, tick

CURVES = {"loss": ("train_loss", "val_loss", "loss (nats)"), "top1": ("train_top1", "val_top1", "top-1 accuracy")}


def figures(runs: Sequence[Run]) -> Iterator[Plot]:
    """Yield the training curves of the runs trained by tgr."""
    trained = [run for run in runs if run.training]
    if not trained:
        return
    yield Plot(
        "training",
        "Loss and accuracy by epoch",
        "Loss and top-1 accuracy by epoch, of the evaluation images (solid) and of the training images while they were "
        "trained on (dashed), as training.parquet has them. Losses of models trained with other augmentation or label "
        "smoothing are not comparable.",
        Table(("model", *TRAINING.arrow.names), [[run.name, *row] for run in trained for row in _epochs(run)]),
        [
            Panel(key("training", what, chart[-1].name), partial(_draw, runs=chart, what=what), alone(chart))
            for chart in charts(trained)
            for what in CURVES
        ],
    )


def _epochs(run: Run) -> list[tuple]:
    assert run.training is not None
    return list(zip(*(column.to_pylist() for column in run.training.table.columns), strict=True))


def _draw(axes: Axes, colours: Palette, *, runs: Sequence[Run], what: str) -> None:
    train, val, label = CURVES[what]
    for place, run in enumerate(runs):
        assert run.training is not None
        colour, epoch_N = colours.models[place], run.training.column("epoch")
        axes.plot(epoch_N, run.training.column(train), color=colour, linestyle=(0, (3, 1.5)), linewidth=1.0)
        axes.plot(
            epoch_N, run.training.column(val), color=colour, label=run.name, marker="o" if len(epoch_N) == 1 else ""
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    scaled(axes.yaxis, logarithmic=False, shown=short_percent if what == "top1" else tick)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
