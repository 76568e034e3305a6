"""Effect of a fault by the bit it strikes: shares of the four outcomes, and the SDC rate with its interval."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from tgr_cli.metrics.outcomes import OUTCOMES
from tgr_cli.report.figure import Panel, Plot, Table
from tgr_cli.report.measured import FaultBreakdown, Run, alone, basis, charts, faults_are, key, without_bit
from tgr_cli.report.plotting import scaled
from tgr_cli.report.theme import MARKS, Palette
from tgr_cli.report.words import short_percent

COLUMNS = ("model", "bit", "rows", *OUTCOMES, "sdc_low", "sdc_high", "failure", "failure_low", "failure_high")
STACKED = ("non_finite", "sdc", "benign", "masked")
EVERY_BIT, EVERY_FOURTH = 8, 32  # widths up to which each bit, and each fourth, has a tick; wider ones each eighth


def figures(runs: Sequence[Run]) -> Iterator[Plot]:
    """Yield the figures by bit of the runs with injections."""
    struck = [run for run in runs if run.faults and run.faults.bits]
    if not struck:
        return
    formats = "; ".join(dict.fromkeys(_described(run) for run in struck))
    noun, left_out = faults_are(struck), without_bit([run for run in runs if run.faults])
    table = Table(COLUMNS, [[run.name, *(row[c] for c in COLUMNS[1:])] for run in struck for row in _of(run).bits])
    how = (
        "Sites have equal weights and faults their sampling weights, so the shares are those of uniformly drawn "
        "faults, not of the rows."
    )
    yield Plot(
        "outcomes-by-bit",
        "Outcome by bit",
        f"Outcomes of {noun} by bit, the highest bit on the left ({formats}). {how} {basis(struck)} {left_out} "
        "The intervals of SDCs are in the next figure, those of failures in the data.",
        table,
        [Panel(key("outcomes_by_bit", run.name), partial(_stacked, run=run), run.name, 250) for run in struck],
    )
    limits = [row["sdc_high"] for run in struck for row in _of(run).bits if row["sdc"]]
    top = min(1.0, 1.04 * max(limits, default=1.0))
    yield Plot(
        "sdc-by-bit",
        "SDC rate by bit",
        f"Share of {noun} of each bit that change the prediction, with intervals. Hollow: no SDC among the {noun} "
        f"drawn for the bit, which may be few; the upper limit of the rate is in the data. {how} {basis(struck)} "
        f"{left_out}",
        table,
        [
            Panel(key("sdc_by_bit", group[-1].name), partial(_rates, runs=group, top=top), alone(group))
            for group in dict.fromkeys(group for chart in charts(struck) for group in _groups(chart))
        ],
    )


def _described(run: Run) -> str:
    return f"{_of(run).form['name']}: {', '.join(_of(run).form['fields'])}"


def _groups(chart: Sequence[Run]) -> Iterator[tuple[Run, ...]]:
    """Yield the runs that share an axis of bits: those of one number format."""
    for described in dict.fromkeys(_described(run) for run in chart):
        yield tuple(run for run in chart if _described(run) == described)


def _of(run: Run) -> FaultBreakdown:
    assert run.faults is not None
    return run.faults


def _stacked(axes: Axes, colours: Palette, *, run: Run) -> None:
    rows = _of(run).bits
    bits, foot = [row["bit"] for row in rows], [0.0] * len(rows)
    for outcome in STACKED:
        heights = [row[outcome] for row in rows]
        if any(heights):
            name = outcome.replace("_", "-").replace("sdc", "SDC")
            axes.bar(bits, heights, 0.86, foot, color=getattr(colours, outcome), label=name)
        foot = [below + height for below, height in zip(foot, heights, strict=True)]
    _by_bit(axes, colours, _of(run).form)
    axes.set_ylim(0, 1)
    axes.set_ylabel(f"share of {faults_are([run])}")
    axes.grid(visible=False, axis="x")
    scaled(axes.yaxis, logarithmic=False, shown=short_percent)


def _rates(axes: Axes, colours: Palette, *, runs: Sequence[Run], top: float) -> None:
    for number, run in enumerate(runs):
        colour, shift = colours.models[number], (number - (len(runs) - 1) / 2) * 0.6 / len(runs)
        seen = [row for row in _of(run).bits if row["sdc"]]
        axes.vlines(
            [row["bit"] - shift for row in seen],
            [row["sdc_low"] for row in seen],
            [row["sdc_high"] for row in seen],
            color=colour,
            linewidth=0.9,
            alpha=0.8,
        )
        for rows, face in ((seen, colour), ([row for row in _of(run).bits if not row["sdc"]], colours.paper)):
            x, y = [row["bit"] - shift for row in rows], [row["sdc"] for row in rows]
            axes.plot(x, y, MARKS[number], color=colour, markersize=3.5, markerfacecolor=face, clip_on=False)
        axes.plot([], [], color=colour, marker=MARKS[number], linestyle="", label=run.name)
    _by_bit(axes, colours, _of(runs[0]).form)
    axes.set_ylim(0, top)
    axes.set_ylabel("SDC rate")
    scaled(axes.yaxis, logarithmic=False, shown=short_percent)


def _by_bit(axes: Axes, colours: Palette, form: Mapping[str, Any]) -> None:
    highest = form["width"] - 1
    step = 1 if form["width"] <= EVERY_BIT else 4 if form["width"] <= EVERY_FOURTH else 8
    axes.set_xlim(highest + 0.6, -0.6)
    axes.set_xlabel("bit, 0 the least significant")
    axes.set_xticks([bit for bit in range(highest, -1, -1) if bit % step == 0 or bit == highest])
    for low, _ in form["fields"].values():
        if low > 0:  # the boundary to the field below
            axes.axvline(low - 0.5, color=colours.muted, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
