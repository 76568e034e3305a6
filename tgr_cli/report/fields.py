"""SDC rate by field of the number format: sign, exponent, mantissa and the like, models side by side."""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes

from tgr_cli.metrics.outcomes import OUTCOMES
from tgr_cli.report.figure import Panel, Plot, Table
from tgr_cli.report.measured import FaultBreakdown, Run, alone, basis, charts, faults_are, key, without_bit
from tgr_cli.report.plotting import decades, estimates, scaled, spread_out
from tgr_cli.report.theme import MARKS, Palette
from tgr_cli.report.words import short_percent

BODY = "The fields of a posit are those of the word before the fault: their lengths differ from word to word. "
COLUMNS = ("field", "low", "high", "rows", *OUTCOMES, "sdc_low", "sdc_high", "failure", "failure_low", "failure_high")


def figures(runs: Sequence[Run]) -> Iterator[Plot]:
    """Yield the figure of the runs with faults that strike a bit."""
    struck = [run for run in runs if run.faults and run.faults.fields]
    if not struck:
        return
    noun = faults_are(struck)
    rates = [row["sdc"] for run in struck for row in _of(run).fields]
    edge = decades(rates)[0] if spread_out(rates) else None
    yield Plot(
        "sdc-by-field",
        "SDC rate by field",
        f"Share of {noun} in each field of the number format that change the prediction, with intervals. Sites have "
        f"equal weights and {noun} their sampling weights, so each bit of a field counts as in uniformly drawn "
        f"{noun}. {BODY * any('body' in _of(run).form['fields'] for run in struck)}"
        f"Hollow: no SDC among the {noun} drawn for the field. {'< at the edge: 0 or below the axis. ' * bool(edge)}"
        f"{basis(struck)} {without_bit([run for run in runs if run.faults])} Failures are in the data.",
        Table(
            ("model", "format", *COLUMNS),
            [
                [run.name, _of(run).form["name"], *(row[name] for name in COLUMNS)]
                for run in struck
                for row in _of(run).fields
            ],
        ),
        [
            Panel(
                key("sdc_by_field", chart[-1].name),
                partial(_draw, runs=chart, edge=edge),
                alone(chart),
                90 + 14 * len(chart) * (1 + len(_names(chart))),
            )
            for chart in charts(struck)
        ],
    )


def _of(run: Run) -> FaultBreakdown:
    assert run.faults is not None
    return run.faults


def _names(runs: Sequence[Run]) -> list[str]:
    """Return the fields of these runs' formats with faults, those of the first run first."""
    return list(dict.fromkeys(row["field"] for run in runs for row in _of(run).fields))


def _draw(axes: Axes, colours: Palette, *, runs: Sequence[Run], edge: float | None) -> None:
    names, step = _names(runs), 0.7 / len(runs)
    if edge:
        axes.set_xscale("log")
        axes.set_xlim(edge, 1)
    for number, run in enumerate(runs):
        rows, colour = _of(run).fields, colours.models[number]
        y = [names.index(row["field"]) - 0.35 + step * (number + 0.5) for row in rows]
        limits = [(row["sdc"], row["sdc_low"], row["sdc_high"]) for row in rows]
        sound = [row["sdc"] > 0 for row in rows]
        estimates(axes, y, limits, colour, colours.paper, mark=MARKS[number], sound=sound, edge=edge)
        axes.plot([], [], color=colour, marker=MARKS[number], linestyle="", label=run.name)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("SDC rate")
    if not edge:
        axes.set_xlim(left=0)
    scaled(axes.xaxis, logarithmic=edge is not None, shown=short_percent)
