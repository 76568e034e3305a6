"""What a flip does by the bit it strikes: the four outcomes, and the SDC rate with its interval."""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes

from tgr_cli.metrics.outcomes import OUTCOMES
from tgr_cli.report.draw import decades, scaled, spread_out
from tgr_cli.report.figure import Figure, Panel, Table
from tgr_cli.report.measured import Faults, Run, alone, charts, key
from tgr_cli.report.theme import MARKS, Palette
from tgr_cli.report.words import short_percent

COLUMNS = ("model", "bit", "rows", *OUTCOMES, "sdc_low", "sdc_high", "failure", "failure_low", "failure_high")
STACKED = ("non_finite", "sdc", "benign", "masked")
FLOAT32_FIELDS = (30.5, 22.5)  # between sign and exponent, exponent and fraction


def figures(runs: Sequence[Run]) -> Iterator[Figure]:
    """Give the figures by bit of the runs that were injected."""
    struck = [run for run in runs if run.faults]
    if not struck:
        return
    table = Table(COLUMNS, [[run.name, *(row[c] for c in COLUMNS[1:])] for run in struck for row in _of(run).bits])
    how = (
        "Each site counts alike, and each fault by its sampling weight, so that the shares are those of faults drawn "
        "uniformly, not of the rows."
    )
    yield Figure(
        "outcomes-by-bit",
        "Outcome by bit",
        "What became of flips of each bit, the highest bit to the left (of float32: sign, exponent, fraction); lines "
        f"are intervals of the failures, SDC or non-finite, clustered by image. {how}",
        table,
        [Panel(key("outcomes_by_bit", run.name), partial(_stacked, run=run), run.name, 250) for run in struck],
    )
    rates = [row["sdc"] for run in struck for row in _of(run).bits]
    within = decades(rates) if spread_out(rates) else None
    yield Figure(
        "sdc-by-bit",
        "SDC rate by bit",
        "Share of flips of each bit that change the prediction, with intervals clustered by image"
        f"{'; < at the edge of the logarithmic axis: the rate is 0 or lies below' if within else ''}. {how}",
        table,
        [
            Panel(key("sdc_by_bit", chart[-1].name), partial(_rates, runs=chart, within=within), alone(chart))
            for chart in charts(struck)
        ],
    )


def _of(run: Run) -> Faults:
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
    axes.vlines(
        bits,
        [row["failure_low"] for row in rows],
        [row["failure_high"] for row in rows],
        color=colours.ink,
        linewidth=1,
    )
    _by_bit(axes, colours, bits)
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of flips")
    axes.grid(visible=False, axis="x")
    scaled(axes.yaxis, logarithmic=False, shown=short_percent)


def _rates(axes: Axes, colours: Palette, *, runs: Sequence[Run], within: tuple[float, float] | None) -> None:
    edge = within[0] if within else 0.0
    if within:
        axes.set_yscale("log")
    for number, run in enumerate(runs):
        colour, shift = colours.models[number], (number - (len(runs) - 1) / 2) * 0.6 / len(runs)
        for row in _of(run).bits:
            x, rate = row["bit"] - shift, row["sdc"]
            if row["sdc_high"] > edge and rate > 0:
                axes.vlines(x, max(row["sdc_low"], edge), row["sdc_high"], color=colour, linewidth=0.9, alpha=0.7)
            shown = MARKS[number] if rate > edge or not within else "v"
            axes.plot(x, max(rate, edge), marker=shown, markersize=3.5, color=colour, clip_on=False)
        axes.plot([], [], color=colour, marker=MARKS[number], linestyle="", label=run.name)
    _by_bit(axes, colours, [row["bit"] for run in runs for row in _of(run).bits])
    if within:
        axes.set_ylim(within)
    else:
        axes.set_ylim(bottom=0)
    axes.set_ylabel("SDC rate")
    scaled(axes.yaxis, logarithmic=within is not None, shown=short_percent)


def _by_bit(axes: Axes, colours: Palette, bits: Sequence[int]) -> None:
    highest = max(bits)
    axes.set_xlim(highest + 0.6, -0.6)
    axes.set_xlabel("bit, 0 the least significant")
    axes.set_xticks([bit for bit in range(highest, -1, -1) if bit % 4 == 0 or bit == highest])
    if highest == 31:
        for end in FLOAT32_FIELDS:
            axes.axvline(end, color=colours.muted, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
