"""Confidence of the models, and its use: Top2Diff against accuracy, SDCs, and re-running.

Sources: accuracy against delta, NeurIPS 2023, figures 4, 11 and 12; SDCs of images sorted by Top2Diff, ISSRE 2021,
figure 6.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from tgr_cli.metrics import top2diff
from tgr_cli.report import rerunning
from tgr_cli.report.figure import Panel, Plot, Table
from tgr_cli.report.measured import FaultBreakdown, Run, alone, basis, charts, key
from tgr_cli.report.plotting import scaled
from tgr_cli.report.theme import DASHES, MARKS, Palette
from tgr_cli.report.words import listed, short_percent, tick

ACCURACY_DELTAS = top2diff.thresholds(0.0, 0.40, 0.01)  # the paper's sweep, and 0 for no threshold
SURE = 0.95  # median Top2Diff above which the axis is logarithmic in 1 − Top2Diff
NEAREST = 1e-6  # smallest 1 − Top2Diff on that axis
POINTS = 1500  # maximum number of images drawn as single points
BINS = 12


def figures(runs: Sequence[Run]) -> Iterator[Plot]:
    """Yield the figures whose artifacts exist."""
    if evaluated := [run for run in runs if run.golden]:
        yield _accuracy(evaluated)
    if struck := [run for run in runs if run.faults]:
        yield _by_image(struck)
    if rerun := [run for run in runs if run.rerun]:
        yield rerunning.figure(rerun)


def crossovers(first: Run, candidate: Run) -> list[float]:
    """Return the deltas at which the candidate's accuracy rises above the first run's."""
    return top2diff.overtakes(_kept(first), _kept(candidate), ACCURACY_DELTAS)


def _kept(run: Run) -> np.ndarray:
    assert run.golden is not None
    return top2diff.accuracy_kept(run.correct, run.golden.column("top2diff"), ACCURACY_DELTAS)


def _faults(run: Run) -> FaultBreakdown:
    assert run.faults is not None
    return run.faults


def _accuracy(runs: Sequence[Run]) -> Plot:
    rows = [
        [run.name, delta, kept]
        for run in runs
        for delta, kept in zip(ACCURACY_DELTAS.tolist(), _kept(run).tolist(), strict=True)
    ]
    first, overtaking = runs[0], []
    for run in runs[1:]:
        if found := crossovers(first, run):
            overtaking.append(f"{run.name} overtakes {first.name} at delta {listed([tick(d) for d in found])}")
    said = f" {'; '.join(overtaking)}." if overtaking else ""
    if len(runs) > 1 and not overtaking:
        said = f" No model overtakes {first.name} after having been behind."
    return Plot(
        "accuracy-against-delta",
        "Accuracy against a threshold on Top2Diff",
        "Images classified correctly with Top2Diff (top-1 minus top-2 probability) of at least delta, over all images "
        "of golden.parquet; without faults. Rings mark where a model overtakes the first, having been behind it."
        + said,
        Table(("model", "delta", "accuracy"), rows),
        [
            Panel(key("accuracy_against_delta", chart[-1].name), partial(_draw_accuracy, runs=chart), alone(chart))
            for chart in charts(runs)
        ],
    )


def _draw_accuracy(axes: Axes, colours: Palette, *, runs: Sequence[Run]) -> None:
    for place, run in enumerate(runs):
        kept_D = _kept(run)
        axes.plot(ACCURACY_DELTAS, kept_D, color=colours.models[place], linestyle=DASHES[place], label=run.name)
        for delta in crossovers(runs[0], run) if place else ():
            height = kept_D[int(np.argmin(np.abs(ACCURACY_DELTAS - delta)))]
            axes.plot(
                delta,
                height,
                marker="o",
                markersize=9,
                markerfacecolor="none",
                markeredgewidth=1.4,
                color=colours.models[place],
            )
            axes.annotate(
                f"δ = {delta:g}", (delta, height), (5, 8), textcoords="offset points", color=colours.models[place]
            )
    axes.set_xlabel("delta")
    axes.set_ylabel("accuracy kept")
    axes.set_xlim(0, float(ACCURACY_DELTAS[-1]))
    axes.margins(y=0.12)
    scaled(axes.yaxis, logarithmic=False, shown=short_percent)


def _by_image(runs: Sequence[Run]) -> Plot:
    rows: list[list] = []
    few = all(len(_faults(run).images.image_id) <= POINTS for run in runs)
    for run in runs:
        images = _faults(run).images
        if few:
            struck = zip(*(column if isinstance(column, list) else column.tolist() for column in images), strict=True)
            rows += [[run.name, *row] for row in struck]
        else:
            rows += [[run.name, *row] for row in _binned(run)]
    columns = ("image_id", "top2diff", "rows", "sdc_rate") if few else ("images", "top2diff", "rows", "sdc_rate")
    said = "; ".join(f"{run.name} {_coefficient(run)} over {_faults(run).correlation.images:,} images" for run in runs)
    points = "Dots are images, the line" if few else "The line shows"
    stretched = "The axis of very confident models is stretched towards 1. " if any(map(_is_sure, runs)) else ""
    return Plot(
        "sdc-by-image",
        "SDC rate of an image against its Top2Diff",
        f"{points} means of {BINS} equal groups of images, sorted by fault-free Top2Diff. An image's SDC rate is over "
        "all of its faults, by sampling weight, with equal weights for sites; if weights differ it can exceed 100 % by "
        f"chance. {basis(runs)} {stretched}"
        f"Spearman's ρ with its interval over images (Bonett and Wright 2000): {said}. The fewer faults an image has, "
        "the noisier its rate, which pulls ρ towards 0.",
        Table(("model", *columns), rows),
        [
            Panel(key("sdc_by_image", run.name), partial(_draw_images, run=run, place=min(n, 3), points=few), run.name)
            for n, run in enumerate(runs)
        ],
    )


def _coefficient(run: Run) -> str:
    found = _faults(run).correlation
    if np.isnan(found.coefficient):
        return "none, as one side does not vary"
    return f"{found.coefficient:.2f} ({found.low:.2f} to {found.high:.2f})".replace("-", "−")


def _is_sure(run: Run) -> bool:
    return bool(np.median(_faults(run).images.top2diff) > SURE)


def _binned(run: Run) -> list[tuple[int, float, int, float]]:
    """Return, for each bin of images sorted by Top2Diff: images, mean Top2Diff, rows, and mean SDC rate."""
    images = _faults(run).images
    order = np.argsort(images.top2diff, kind="stable")
    return [
        (
            len(lot),
            float(images.top2diff[lot].mean()),
            int(images.rows[lot].sum()),
            float(images.sdc_rate[lot].mean()),
        )
        for lot in np.array_split(order, min(BINS, len(order)))
    ]


def _draw_images(axes: Axes, colours: Palette, *, run: Run, place: int, points: bool) -> None:
    images, colour = _faults(run).images, colours.models[place]
    stretched = _is_sure(run)
    if points:
        axes.plot(
            _placed(images.top2diff, stretched),
            images.sdc_rate,
            marker="o",
            markersize=3,
            linestyle="",
            color=colour,
            alpha=0.35,
            markeredgewidth=0,
            clip_on=False,
        )
    lots = _binned(run)
    axes.plot(
        _placed(np.array([lot[1] for lot in lots]), stretched),
        [lot[3] for lot in lots],
        color=colours.ink,
        marker=MARKS[0],
        markersize=4,
    )
    axes.text(0.98, 0.97, f"ρ = {_coefficient(run)}", transform=axes.transAxes, ha="right", va="top", color=colours.ink)
    if stretched:
        ends = (0.0, 0.9, 0.99, 0.999, 0.9999, 0.99999)
        axes.set_xticks([float(_placed(np.array(end), stretched)) for end in ends], [f"{end:g}" for end in ends])
        axes.set_xlim(0, -np.log10(NEAREST))
    else:
        axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Top2Diff without a fault")
    axes.set_ylabel("SDC rate of the image")
    scaled(axes.yaxis, logarithmic=False, shown=short_percent)


def _placed(top2diff_I: np.ndarray, stretched: bool) -> np.ndarray:
    """Return axis positions of Top2Diff values: unchanged, or −log10(1 − Top2Diff) if `stretched`."""
    return -np.log10(np.maximum(1 - top2diff_I, NEAREST)) if stretched else top2diff_I
