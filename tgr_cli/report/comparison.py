"""Candidates against the baseline: verdicts in words, one row each as in the paper's tables, a plot of the factors."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from tgr_cli.artifacts.schemas import COMPARISON
from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.improvement import MEDIANS
from tgr_cli.metrics.verdict import BETTER, NOT_DISTINGUISHABLE, TOO_LITTLE, WORSE
from tgr_cli.report.figure import NONE, Block, Panel, Plot, Said, Table
from tgr_cli.report.measured import key
from tgr_cli.report.plotting import level, middle, scaled
from tgr_cli.report.theme import Palette
from tgr_cli.report.words import SPACE, count, factor, listed, number, percent
from tgr_cli.reporting import SHARES, plain_factor

Row = Mapping[str, Any]  # a row of `comparison`
FIGURES = {
    "last_layer": "mean dLoss of the last layer",
    "overall": "mean dLoss over all sites",
    "overall_by_macs": "mean dLoss by MACs (V_CNN)",
    "sdc_last_layer": "SDC rate of the last layer",
    "sdc_overall": "SDC rate over all sites",
    "median_last_layer": "median dLoss of the last layer",
    "median_overall": "median dLoss over all sites",
}
MAIN = ("last_layer", "overall", "sdc_overall")  # the factors described in sentences
WITHOUT_MEANS = ("median_last_layer", "median_overall", "sdc_overall")  # for runs without a range limit


def sentences(rows: Sequence[Row]) -> list[Said]:
    """Return sentences on the main factors and the accuracy of each candidate."""
    said = []
    for row in _own(rows):
        parts = [_verdict(row, name) for name in _main(rows) if row[name] is not None]
        accuracy = (
            f"accuracy is {_in_words(row['accuracy_verdict'])}, {percent(row['accuracy_candidate'])} against "
            f"{percent(row['accuracy_baseline'])} (McNemar's p = {number(row['accuracy_p'], 2)})"
        )
        said.append(Said(f"{row['candidate']} against {row['baseline']}", "; ".join([*parts, accuracy]) + "."))
    return said


def table(rows: Sequence[Row]) -> Block:
    """Return one row per candidate, on the images of its own campaign."""
    cells = [
        (
            row["candidate"],
            f"{percent(row['accuracy_baseline'])} → {percent(row['accuracy_candidate'])}",
            f"{row['params_delta']:+,}",
            f"{row['macs_delta']:+,}",
            *(_with_interval(row, name) for name in _main(rows)),
            f"{number(row['top2diff_baseline'])} → {number(row['top2diff_candidate'])}",
        )
        for row in _own(rows)
    ]
    return Block(
        ("model", "accuracy", "parameters added", "MACs added", *(FIGURES[n] for n in _main(rows)), "Top2Diff"),
        cells,
        "Against the baseline. Factors are baseline / model, above 1 where the model is better, with intervals over "
        "faults and images, without the variation between training seeds. ▲ better, ▼ worse, = not distinguishable, "
        f"~ rests on too little{_without_factor(rows)}. Top2Diff is the mean over images classified correctly."
        f"{_left_out(rows)}",
    )


def published_table(rows: Sequence[Row]) -> Block:
    """Return the measured figures beside published ones, from the rows of `campaign.beside_published`."""
    columns = ("model", "figure", "measured", "published", "source", "mean of its family")
    cells = [
        (
            row["candidate"],
            row["meaning"],
            _beside(row, row["measured"])
            + ("" if row["low"] is None else f" ({plain_factor(row['low'])} to {plain_factor(row['high'])})"),
            _beside(row, row["published"]),
            row["source"],
            f"{factor(row['family_mean'])} ({row['family']})" if row["family"] else NONE,
        )
        for row in rows
    ]
    said = "Measured here, and published. The paper does not say how it weighs the last two layers."
    return Block(columns, cells, said)


def _beside(row: Row, value: float | None) -> str:
    return percent(value) if row["figure"] in SHARES else factor(value)


def figure(rows: Sequence[Row]) -> Plot:
    """Return the plot of the improvement factors: one panel per factor, one line per candidate."""
    own = _own(rows)
    with_means = any(row["overall"] is not None for row in own)
    shown = [
        name
        for name in FIGURES
        if any(row[f"{name}_low"] is not None for row in own) and not (with_means and name in MEDIANS)
    ]
    columns = COMPARISON.arrow.names
    return Plot(
        "improvement",
        "Improvement over the baseline",
        f"{own[0]['baseline']} divided by each model, on the images of each one's own campaign, with intervals on a "
        "logarithmic axis; right of 1 the model is better. Filled: the interval excludes 1. Hollow: it contains 1, "
        "or rests on too little. Medians are shown if a run had no range limit. The data also has "
        "the factors on common images, and the number of faults that would settle an undecided one.",
        Table(columns, [[row[name] for name in columns] for row in rows]),
        [
            Panel(key("improvement", name), partial(_draw, rows=own, name=name), FIGURES[name], 74 + 26 * len(own))
            for name in shown
        ],
    )


def _draw(axes: Axes, colours: Palette, *, rows: Sequence[Row], name: str) -> None:
    tones = {BETTER: colours.better, WORSE: colours.worse}
    level(axes, 1.0, colours.ink, across=False)
    axes.set_xscale("log")
    for y, row in enumerate(rows):
        if row[name] is None:
            continue
        tone = tones.get(row[f"{name}_verdict"], colours.muted)
        if row[f"{name}_low"] is not None:
            axes.hlines(y, row[f"{name}_low"], row[f"{name}_high"], color=tone, linewidth=1.8)
        if row[name] > 0:
            full = row[f"{name}_verdict"] in tones
            axes.plot(row[name], y, "o", color=tone, markerfacecolor=tone if full else colours.paper, markersize=6.5)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.5), max(high, 2.0))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [middle(row["candidate"], 26) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("baseline / model")
    scaled(axes.xaxis, logarithmic=True, shown=lambda value: f"{value:g}×")


def _left_out(rows: Sequence[Row]) -> str:
    """Return a sentence on the outcomes excluded from all factors, "" if there are none."""
    own = _own(rows)
    by_run = {row["baseline"]: row["non_finite_baseline"] for row in own}
    by_run |= {row["candidate"]: row["non_finite_candidate"] for row in own}
    if not any(by_run.values()):
        return ""
    counts = listed([f"{count(total)} of {run}" for run, total in by_run.items()])
    return f" Outcomes that are not finite are neither SDCs nor in a mean dLoss, so no factor counts them: {counts}."


def _without_factor(rows: Sequence[Row]) -> str:
    none = any(row[name] is None for row in _own(rows) for name in _main(rows))
    return f", {NONE} no factor, as one of the figures is 0 or missing" if none else ""


def _own(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["images"] == "own"]


def _main(rows: Sequence[Row]) -> tuple[str, ...]:
    return MAIN if any(row["overall"] is not None for row in rows) else WITHOUT_MEANS


def _in_words(verdict: str | None) -> str:
    return (
        f"{verdict} at {100 * CONFIDENCE:g}{SPACE}%"
        if verdict in (BETTER, WORSE) or verdict == NOT_DISTINGUISHABLE
        else str(verdict)
    )


def _verdict(row: Row, name: str) -> str:
    """Return one factor's verdict, such as "mean dLoss over all sites is better at 99 %, 2.00× (1.50× to 2.60×)"."""
    verdict, said = row[f"{name}_verdict"], f"{FIGURES[name]} "
    said += f"is {_in_words(verdict)}" if verdict != TOO_LITTLE else verdict
    said += f", {factor(row[name])}"
    if row[f"{name}_low"] is not None:
        said += f" ({factor(row[f'{name}_low'])} to {factor(row[f'{name}_high'])})"
    for what, unit in (("faults", "faults a site"), ("images", "images")):
        if settled := row[f"{name}_settled_by_{what}"]:
            said += f", which about {count(settled)} {unit} might settle"
    return said


def _with_interval(row: Row, name: str) -> str:
    marks = {BETTER: "▲", WORSE: "▼", NOT_DISTINGUISHABLE: "=", TOO_LITTLE: "~"}
    mark = marks.get(row[f"{name}_verdict"], "")
    if row[f"{name}_low"] is None:
        return f"{mark} {factor(row[name])}".strip()
    return f"{mark} {factor(row[name])} ({plain_factor(row[f'{name}_low'])} to {plain_factor(row[f'{name}_high'])})"
