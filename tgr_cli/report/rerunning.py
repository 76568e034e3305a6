"""SDC coverage against re-run inferences, by both confidence criteria (ILR, ISSRE 2021, figures 7 and 8)."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from tgr_cli.defaults import TARGET_COVERAGE
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.rerunning import CRITERIA, DOUBTFUL, NAMES
from tgr_cli.report.figure import Panel, Plot, Table
from tgr_cli.report.measured import THRESHOLDS, Rerun, Run, alone, basis, charts, key
from tgr_cli.report.plotting import level, scaled
from tgr_cli.report.theme import DASHES, MARKS, Palette
from tgr_cli.report.words import SPACE, listed, percent, plural, short_percent

MARKED = (0.1, 0.3, 0.5)  # thresholds marked on the curves
COUNTED = {"sites": "sites alike", "neurons": "neurons alike", "macs": "multiply-accumulates alike"}
SHARES = ("overhead", "coverage", "coverage_golden")
COLUMNS = ("criterion", "threshold", *(f"{name}{end}" for name in SHARES for end in ("", "_low", "_high")))


def figure(runs: Sequence[Run]) -> Plot:
    """Return the plot for runs with golden predictions and injections; one panel per criterion."""
    rows = [
        [run.name, rerun.population.count_by, ", ".join(rerun.population.operations), *(row[name] for name in COLUMNS)]
        for run in runs
        for rerun in [_of(run)]
        for criterion in CRITERIA
        for row in rerun.curves[criterion].rows()
    ]
    return Plot(
        "coverage-against-overhead",
        "SDCs caught against inferences run again",
        "Inference-level re-running (ILR): an inference whose confidence is below a threshold is run a second time. "
        "Horizontal: share of all images whose fault-free confidence is below it, the overhead. Vertical: share of "
        "SDCs on correct images whose faulty confidence is below it, as in a check of every output, with its interval; "
        f"{_counting(runs)}, faults by their sampling weight. Marks: thresholds "
        f"{listed([f'{threshold:g}' for threshold in MARKED])}. Dotted: what re-running at random would catch. "
        f"{basis(runs)} {' '.join(_said(run) for run in runs)}",
        Table(("model", "count_by", "operations", *COLUMNS), rows),
        [
            Panel(
                key("coverage_against_overhead", criterion, chart[-1].name),
                partial(_draw, runs=chart, criterion=criterion),
                f"{NAMES[criterion]}: {alone(chart)}" if alone(chart) else NAMES[criterion],
                300,
            )
            for chart in charts(runs)
            for criterion in CRITERIA
        ],
        across=len(CRITERIA),
    )


def _of(run: Run) -> Rerun:
    assert run.rerun is not None
    return run.rerun


def _counting(runs: Sequence[Run]) -> str:
    """Return the unit of counting, and the operations counted for each run."""
    by = COUNTED[_of(runs[0]).population.count_by]
    over = {run.name: ", ".join(_of(run).population.operations) for run in runs}
    if len(set(over.values())) == 1:
        return f"{by} over {next(iter(over.values()))}"
    return f"{by} over {listed([f'{operations} of {name}' for name, operations in over.items()])}"


def _said(run: Run) -> str:
    """Return in words the cost of catching TARGET_COVERAGE of the SDCs, and the SDC rate of doubtful images."""
    parts, rerun = [], _of(run)
    for criterion in CRITERIA:
        cost = rerun.costs[criterion]
        if cost.threshold is None:
            parts.append(f"no threshold on {NAMES[criterion]} catches as many")
        else:
            parts.append(f"{_share(cost.overhead)} by {NAMES[criterion]} below {cost.threshold:g}")
    said = f"{run.name}: {short_percent(TARGET_COVERAGE)} of SDCs caught by running again {'; '.join(parts)}"
    if not np.isnan(rerun.doubtful.mean):
        images = plural(rerun.images, "correct image")
        said += f"; {images} with a Top2Diff below {DOUBTFUL:g} have an SDC rate of {_share(rerun.doubtful)}"
    return f"{said}."


def _share(estimate: Estimate) -> str:
    flag = "" if estimate.reliable else f"~{SPACE}"
    return f"{flag}{percent(estimate.mean, 1)} ({percent(estimate.low, 1)} to {percent(estimate.high, 1)})"


def _draw(axes: Axes, colours: Palette, *, runs: Sequence[Run], criterion: str) -> None:
    axes.plot([0, 1], [0, 1], color=colours.muted, linewidth=0.9, linestyle=(0, (1, 2)))
    level(axes, TARGET_COVERAGE, colours.line)
    marked = [int(np.argmin(np.abs(THRESHOLDS - threshold))) for threshold in MARKED]
    for place, run in enumerate(runs):
        curve, colour = _of(run).curves[criterion], colours.models[place]
        if np.isnan(curve.coverage[0].mean):  # there are no SDCs
            continue
        again = [estimate.mean for estimate in curve.overhead]
        low, high = ([getattr(estimate, limit) for estimate in curve.coverage] for limit in ("low", "high"))
        axes.fill_between(again, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(
            again,
            [estimate.mean for estimate in curve.coverage],
            color=colour,
            linestyle=DASHES[place],
            marker=MARKS[place],
            markevery=marked,
            label=run.name,
            clip_on=False,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("inferences run again")
    axes.set_ylabel("SDCs caught")
    for axis in (axes.xaxis, axes.yaxis):
        scaled(axis, logarithmic=False, shown=short_percent)
