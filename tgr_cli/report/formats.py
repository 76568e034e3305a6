"""One model in several number formats side by side: accuracy, SDC rate and mean dLoss with intervals."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes

from tgr_cli.artifacts.fault_facts import formats_in_words
from tgr_cli.metrics.intervals import Estimate, wilson
from tgr_cli.report.figure import Panel, Plot, Table
from tgr_cli.report.measured import Run, basis, key
from tgr_cli.report.plotting import decades, estimates, middle, scaled, spread_out
from tgr_cli.report.theme import Palette
from tgr_cli.report.words import SPACE, listed, short_percent, tick

ENDS = ("", "_low", "_high")
LABEL_LENGTH = 28


@dataclass(frozen=True)
class _Quantity:
    """A column of the data, its axis, and the value with its limits of a run; None where there is none."""

    column: str
    axis: str
    shown: Callable[[float], str]
    of: Callable[[Run], Estimate | None]


def figures(runs: Sequence[Run]) -> Iterator[Plot]:
    """Yield the figure of the models that were measured in more than one format."""
    models = [group for group in _models(runs) if len({_format(run) for run in group}) > 1]
    if not models:
        return
    shown = [run for group in models for run in group]
    struck = [run for run in shown if run.network]
    columns = [f"{quantity.column}{end}" for quantity in QUANTITIES for end in ENDS]
    levels = listed([f"{100 * level:g}{SPACE}%" for level in sorted({run.confidence for run in shown})])
    parts = {
        "Each model in every format that it was measured in, with intervals. Accuracy: images classified correctly "
        f"without a fault, with Wilson's interval at {levels}.": True,
        "SDC rate and mean dLoss are means over sites, as in the summary.": bool(struck),
        basis(struck) if struck else "": bool(struck),
        "Hollow: the interval of mean dLoss rests on too little.": any(
            run.network and not run.network.mean_dloss.reliable for run in struck
        ),
        "Without a range limit, or a format with a range of its own, a few faults dominate every mean dLoss, so it is "
        "not shown.": not all(run.limited for run in struck),
    }
    yield Plot(
        "formats",
        "Formats side by side",
        " ".join(part for part, said in parts.items() if said),
        Table(
            ("model", "format", "fault_model", *columns, "reliable"),
            [[run.name, _format(run), run.fault_model or None, *_cells(run)] for run in shown],
        ),
        [
            Panel(
                key("formats", quantity.column, group[0].name),
                partial(_draw, runs=group, quantity=quantity),
                group[0].folder if len(models) > 1 else "",
                _height(group),
            )
            for group in models
            for quantity in QUANTITIES
            if any(quantity.of(run) for run in group)
        ],
        across=len(QUANTITIES),
    )


def _models(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the runs by model, by the fingerprint of its weights, and by the target of their campaigns."""
    groups = dict[tuple[str, str], list[Run]]()
    for run in runs:
        if run.provenance and run.provenance.model:
            target = str(run.campaign.get("target", "neuron"))
            groups.setdefault((run.provenance.model, target), []).append(run)
    return list(groups.values())


def _format(run: Run) -> str:
    assert run.provenance is not None
    return formats_in_words(run.provenance)


def _accuracy(run: Run) -> Estimate | None:
    if run.golden is None:
        return None
    right, images = float(run.correct.sum()), len(run.correct)
    return Estimate(right / images, *wilson(right, images, run.confidence), images)


def _sdc_rate(run: Run) -> Estimate | None:
    return run.network.sdc_rate if run.network else None


def _mean_dloss(run: Run) -> Estimate | None:
    found = run.network.mean_dloss if run.network and run.limited else None
    return None if found is None or math.isnan(found.mean) else found


QUANTITIES = (
    _Quantity("accuracy", "accuracy", short_percent, _accuracy),
    _Quantity("sdc_rate", "SDC rate", short_percent, _sdc_rate),
    _Quantity("mean_dloss", "mean dLoss (nats)", tick, _mean_dloss),
)


def _limits(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    if estimate is None:
        return None, None, None
    value, low, high = (None if math.isnan(end) else end for end in estimate[:3])
    return value, low, high


def _cells(run: Run) -> list[float | bool | None]:
    dloss = _mean_dloss(run)
    return [*(end for q in QUANTITIES for end in _limits(q.of(run))), dloss.reliable if dloss else None]


def _draw(axes: Axes, colours: Palette, *, runs: Sequence[Run], quantity: _Quantity) -> None:
    found = [quantity.of(run) for run in runs]
    limits = [_limits(each) for each in found]
    values = [value for value, _, _ in limits]
    edge = None
    if quantity.column != "accuracy" and spread_out(values):
        axes.set_xscale("log")
        edge = decades([*values, *(high for _, _, high in limits)])[0]
        axes.set_xlim(left=edge)
    sound = [each is None or each.reliable or quantity.column != "mean_dloss" for each in found]
    estimates(axes, range(len(runs)), limits, colours.model_1, colours.paper, mark="o", sound=sound, edge=edge)
    axes.set_yticks(range(len(runs)), _labels(runs))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(quantity.axis)
    if edge is None and quantity.column != "accuracy":
        axes.set_xlim(left=0)
    scaled(axes.xaxis, logarithmic=edge is not None, shown=quantity.shown)


def _labels(runs: Sequence[Run]) -> list[str]:
    """Return the formats of runs, with the fault model where that differs, or the names where formats are alike.

    Each part has a line of its own: side by side they would be cut off.
    """
    several = len({run.fault_model for run in runs if run.fault_model}) > 1
    labels = [f"{_format(run)}, {run.fault_model}" if several and run.fault_model else _format(run) for run in runs]
    if len(set(labels)) < len(labels):
        labels = [run.name for run in runs]
    return ["\n".join(middle(part, LABEL_LENGTH) for part in label.split(", ")) for label in labels]


def _height(runs: Sequence[Run]) -> int:
    lines = max(label.count("\n") + 1 for label in _labels(runs))
    return 70 + max(26, 4 + 13 * lines) * len(runs)
