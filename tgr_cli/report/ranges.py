"""Fault-free values at the sites: largest and mean absolute value (NeurIPS 2023, figures 3, 9 and 10)."""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes

from tgr_cli.artifacts.schemas import RANGES
from tgr_cli.report.figure import Panel, Plot, Table
from tgr_cli.report.measured import Run, across, alone, charts, key
from tgr_cli.report.plotting import middle, scaled, spread_out
from tgr_cli.report.sites import aligned, keys, side_by_side
from tgr_cli.report.theme import DASHES, MARKS, Palette
from tgr_cli.report.words import listed, tick

QUANTITIES = {"max_abs": "largest |value|", "mean_abs": "mean |value|"}
NAMED = 26  # maximum number of sites labelled on the axis


def figures(runs: Sequence[Run]) -> Iterator[Plot]:
    """Yield the figure of the runs with profiled ranges."""
    profiled = [run for run in runs if run.ranges]
    if not profiled:
        return
    wide = {column: spread_out([row[column] for run in profiled for row in _rows(run)]) for column in QUANTITIES}
    plotted = dict.fromkeys(
        (column, group) for chart in charts(profiled) for column in QUANTITIES for group in _groups(chart)
    )
    facts = [run.ranges.provenance.extra for run in profiled if run.ranges]
    images = list(dict.fromkeys(f"{fact['images']:,} images of {fact['used']}" for fact in facts))
    yield Plot(
        "ranges",
        "Largest and mean absolute value by site",
        "Absolute values of each site's output without a fault, sites in execution order, each model's last layer at "
        f"the right, over {listed(images)}, as ranges.parquet has them. "
        "Under --limit clamp a struck value is held to ± the largest.",
        Table(("model", *RANGES.arrow.names), [[run.name, *row.values()] for run in profiled for row in _rows(run)]),
        [
            Panel(
                key(column, group[-1].name),
                partial(_draw, runs=group, column=column, logarithmic=wide[column]),
                title=alone(group),
                height=310 if len(_sites(group)[0]) <= NAMED else 260,
            )
            for column, group in plotted
        ],
        across=across(plotted),
    )


def _rows(run: Run) -> list[dict]:
    assert run.ranges is not None
    return run.ranges.table.to_pylist()


def _groups(chart: Sequence[Run]) -> Iterator[tuple[Run, ...]]:
    by_name = {run.name: run for run in chart}
    for names in side_by_side({run.name: [row["site"] for row in _rows(run)] for run in chart}):
        yield tuple(by_name[name] for name in names)


def _sites(group: Sequence[Run]) -> tuple[list[str], list[str]]:
    return aligned([[row["site"] for row in _rows(run)] for run in group])


def _draw(axes: Axes, colours: Palette, *, runs: Sequence[Run], column: str, logarithmic: bool) -> None:
    order, labels = _sites(runs)
    for place, run in enumerate(runs):
        rows = _rows(run)
        at = [order.index(site) for site in keys([row["site"] for row in rows])]
        axes.plot(
            at,
            [row[column] for row in rows],
            color=colours.models[place],
            marker=MARKS[place],
            markersize=3.5,
            linestyle=DASHES[place],
            linewidth=1.3,
            label=run.name,
        )
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    if len(order) <= NAMED:
        axes.set_xticks(range(len(order)), [middle(label, 20) for label in labels], rotation=90, fontsize=8.5)
    else:
        axes.set_xlabel(f"site, of {len(order)} in execution order")
    axes.set_ylabel(QUANTITIES[column])
    scaled(axes.yaxis, logarithmic=logarithmic, shown=tick)
