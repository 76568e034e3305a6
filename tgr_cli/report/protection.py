"""Protection: coverage against overhead by technique, and predicted against actual coverage (ISSRE 2021, figure 5)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from tgr_cli.artifacts.schemas import PROTECTION
from tgr_cli.metrics.rerunning import NAMES as CRITERIA
from tgr_cli.report.figure import Block, Panel, Plot, Said, Section, Table
from tgr_cli.report.measured import key
from tgr_cli.report.plotting import level, scaled
from tgr_cli.report.theme import DASHES, MARKS, Palette
from tgr_cli.report.words import count, listed, percent, short_percent, tick

Row = Mapping[str, Any]  # a row of `protection`
NAMES = CRITERIA | {"dloss": "dLoss"}
CURVE = ("technique", "order", "criterion", "count_by", "operations")  # rows alike in these are one curve


def section(rows: Sequence[Row], config: Mapping[str, Any]) -> Section:
    """Return the section on `rows` of `protection`; `config` is what that artifact records."""
    return Section(
        "protection",
        "Protection",
        list(_unreached(rows, config)),
        blocks=[_table(rows, config)],
        figures=[_figure(rows, config), _prediction(rows, config)],
    )


def _curves(rows: Sequence[Row]) -> dict[tuple[Any, ...], list[Row]]:
    """Return the rows of one model by curve."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in CURVE), []).append(row)
    return found


def _called(row: Row) -> str:
    by = [str(NAMES.get(row[name], row[name])) for name in ("order", "criterion") if row[name]]
    return " ".join([row["technique"].upper(), *by])


def _models(rows: Sequence[Row]) -> dict[str, list[Row]]:
    return {name: [row for row in rows if row["model"] == name] for name in dict.fromkeys(row["model"] for row in rows)}


def _unreached(rows: Sequence[Row], config: Mapping[str, Any]) -> list[Said]:
    target = short_percent(config["target_coverage"])
    found = []
    for model, own in _models(rows).items():
        lacking = [_called(points[0]) for points in _curves(own).values() if not any(row["chosen"] for row in points)]
        if lacking:
            found.append(Said(model, f"{listed(lacking)} cannot catch {target} of the SDCs of the analysis images."))
    return found


def _table(rows: Sequence[Row], config: Mapping[str, Any]) -> Block:
    cells = [
        (
            row["model"],
            _called(row),
            "–" if row["threshold"] is None else tick(row["threshold"]),
            count(row["maps"]),
            percent(row["coverage_analysis"], 1),
            _with_limits(row, "coverage_deployment", "" if row["reliable"] else "~ "),
            _with_limits(row, "overhead_deployment"),
            percent(row["false_alarms"], 1),
            f"{row['count_by']} over {row['operations']}",
        )
        for row in rows
        if row["chosen"]
    ]
    columns = ("model", "technique", "below", "maps", "predicted", "covered", "overhead", "false alarms", "counted by")
    return Block(columns, cells, f"The cheapest point of each technique. {_basis(config)}")


def _basis(config: Mapping[str, Any]) -> str:
    return (
        f"Chosen to catch {short_percent(config['target_coverage'])} of the SDCs on {short_percent(config['split'])} "
        "of the images (predicted), judged on the others (covered). Overhead in multiply-accumulates. Intervals at "
        f"{percent(config['confidence'], 0)}; ~ rests on too few SDCs."
    )


def _with_limits(row: Row, name: str, mark: str = "") -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if row[name] is None or low is None or low == high:
        return mark + percent(row[name], 1)
    return f"{mark}{percent(row[name], 1)} ({percent(low, 1)} to {percent(high, 1)})"


def _figure(rows: Sequence[Row], config: Mapping[str, Any]) -> Plot:
    return Plot(
        "protection-coverage-against-overhead",
        "Coverage against overhead, by technique",
        "Horizontal: multiply-accumulates added, over those of the unprotected network. Vertical: share of the SDCs of "
        "the deployment images that are caught, with its interval. ILR runs doubtful inferences again, FLR computes "
        "feature maps twice, FILR does both: its points are the pairs that reach the target on the analysis images. "
        f"Large marks are the chosen points; dotted is what random protection would catch. {_basis(config)}",
        Table(PROTECTION.arrow.names, [[row[name] for name in PROTECTION.arrow.names] for row in rows]),
        [
            Panel(key("protection", model), partial(_draw, rows=own, target=config["target_coverage"]), model, 330)
            for model, own in _models(rows).items()
        ],
    )


def _prediction(rows: Sequence[Row], config: Mapping[str, Any]) -> Plot:
    names = (*CURVE, "threshold", "maps", "coverage_analysis", "coverage_deployment")
    return Plot(
        "protection-predicted-against-covered",
        "Predicted against actual coverage",
        "Horizontal: share of the SDCs caught on the analysis images, from which thresholds and maps were chosen. "
        "Vertical: on the deployment images, which had no part in the choice. Below the line, more was predicted than "
        f"holds: inject more faults. Large marks are the chosen points. {_basis(config)}",
        Table(("model", *names), [[row[name] for name in ("model", *names)] for row in rows]),
        [
            Panel(key("predicted", model), partial(_draw_prediction, rows=own), model, 330)
            for model, own in _models(rows).items()
        ],
    )


def _styled(rows: Sequence[Row], colours: Palette) -> list[tuple[list[Row], dict[str, Any]]]:
    """Return each curve's points that have a coverage, with its style: colour by technique, dashes within it."""
    found, techniques = [], list(dict.fromkeys(row["technique"] for row in rows))
    within = dict.fromkeys(techniques, 0)
    for points in _curves(rows).values():
        name = points[0]["technique"]
        place, within[name] = within[name], within[name] + 1
        pairs = points[0]["order"] and points[0]["criterion"]  # no curve: each is another choice of maps
        style = {
            "color": colours.models[(techniques.index(name) + 1) % len(colours.models)],
            "linestyle": "" if pairs else DASHES[place % len(DASHES)],
            "marker": MARKS[techniques.index(name) % len(MARKS)],
            "label": _called(points[0]),
            "clip_on": False,
        }
        found.append(([row for row in points if row["coverage_deployment"] is not None], style))
    return found


def _draw(axes: Axes, colours: Palette, *, rows: Sequence[Row], target: float) -> None:
    axes.plot([0, 1], [0, 1], color=colours.muted, linewidth=0.9, linestyle=(0, (1, 2)))
    level(axes, target, colours.line)
    for points, style in _styled(rows, colours):
        # With more work than the network's own, computing everything twice is better: the table has these points.
        points = [row for row in points if row["overhead_deployment"] <= 1 or row["chosen"]]
        points.sort(key=lambda row: row["overhead_deployment"])
        across = [row["overhead_deployment"] for row in points]
        low, high = ([row[f"coverage_deployment_{end}"] for row in points] for end in ("low", "high"))
        if points and None not in (*low, *high) and style["linestyle"]:
            axes.fill_between(across, low, high, color=style["color"], alpha=0.12, linewidth=0)
        _curve(axes, points, across, style)
    axes.set_xlim(0, max(1.0, *(row["overhead_deployment"] for row in rows if row["chosen"])))
    axes.set_ylim(0, 1)
    axes.set_xlabel("work added")
    axes.set_ylabel("SDCs caught")
    for axis in (axes.xaxis, axes.yaxis):
        scaled(axis, logarithmic=False, shown=short_percent)


def _curve(axes: Axes, points: Sequence[Row], across: Sequence[float], style: Mapping[str, Any]) -> None:
    """Draw a curve with a large mark at its chosen point."""
    covered = [row["coverage_deployment"] for row in points]
    chosen = [place for place, row in enumerate(points) if row["chosen"]]
    if not style["linestyle"]:
        axes.plot(across, covered, **{**style, "label": None}, markersize=2.5)
    axes.plot(across, covered, markevery=chosen, markersize=8, **style)


def _draw_prediction(axes: Axes, colours: Palette, *, rows: Sequence[Row]) -> None:
    axes.plot([0, 1], [0, 1], color=colours.muted, linewidth=0.9, linestyle=(0, (1, 2)))
    for points, style in _styled(rows, colours):
        known = [row for row in points if row["coverage_analysis"] is not None]
        known.sort(key=lambda row: row["coverage_analysis"])
        _curve(axes, known, [row["coverage_analysis"] for row in known], style)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("covered")
    for axis in (axes.xaxis, axes.yaxis):
        scaled(axis, logarithmic=False, shown=short_percent)
