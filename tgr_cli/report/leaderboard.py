"""The leaderboard: one table for each group of campaigns that may be compared, sortable where scripts run."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tgr_cli.metrics.intervals import Estimate
from tgr_cli.report.figure import NONE, Table
from tgr_cli.report.page import rendered
from tgr_cli.report.words import SPACE, count, number, percent, plural

TEMPLATE = "leaderboard.html.j2"
SCRIPT = Path(__file__).with_name("sort_tables.js")
RANDOM = "○ "  # marks a model with random weights
JOINED = "-\u2060-\u2060"  # word joiners: no line ends within or after the dashes of an option
Row = Mapping[str, Any]  # as `campaign.leaderboard` makes it


@dataclass(frozen=True)
class Ranked:
    """One table: what its rows were measured on and how, what sets it apart from the first, and its rows."""

    data: str
    settings: str
    apart: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Column:
    """A column: its header, what a cell shows, and what it is sorted by (None: sorted last)."""

    header: str
    shown: Callable[[Row], str]
    key: Callable[[Row], float | str | None]
    numeric: bool = True


def html(groups: Sequence[Ranked]) -> str:
    """Return the page: nothing is loaded, and the only script is the one that its policy names by hash."""
    script = SCRIPT.read_text(encoding="utf-8")
    rows = [row for group in groups for row in group.rows]
    return rendered(
        TEMPLATE,
        groups=groups,
        columns=COLUMNS,
        opening=_opening(groups, rows),
        script=Markup(script),
        digest=b64encode(sha256(script.encode()).digest()).decode(),
        table=_data(groups),
        key=_key,
    )


def _opening(groups: Sequence[Ranked], rows: Sequence[Row]) -> str:
    said = f"{plural(len(rows), 'campaign')} of faults, the lowest rate of silent data corruption (SDC) first."
    if len(groups) > 1:
        said += f" Measured in {len(groups)} ways that cannot be compared, so there are as many tables."
    if random := sum(row["random"] for row in rows):
        said += f" {plural(random, 'model has', 'models have')} random weights, marked ○: their accuracy means nothing."
    return said


def _key(value: float | str | None) -> str:
    """Return a sort key as an attribute: "" is sorted last."""
    return "" if value is None or value != value else f"{value:.17g}" if isinstance(value, float) else str(value)


def _estimate(estimate: Estimate | None, shown: Callable[[float], str]) -> str:
    """Return an estimate with its interval, marked if it rests on too little."""
    if estimate is None or estimate.mean != estimate.mean:
        return NONE
    mark = "" if estimate.reliable else "~"
    if estimate.low != estimate.low:
        return mark + shown(estimate.mean)
    low, high = (shown(end).replace(f"{SPACE}%", "") for end in (estimate.low, estimate.high))
    return f"{mark}{shown(estimate.mean)} ({low} to {high})"


def _accuracy(row: Row) -> str:
    """Return the accuracy and the number of images that it is over."""
    return NONE if row["accuracy"] is None else f"{percent(row['accuracy'])} of {count(row['evaluated'])}"


def _mean(name: str) -> Callable[[Row], float | None]:
    return lambda row: row[name] and float(row[name].mean)


COLUMNS = (
    Column("model", lambda row: RANDOM * row["random"] + row["model"], lambda row: row["model"], numeric=False),
    Column(
        "SDC rate",
        lambda row: _estimate(row["sdc_rate"], lambda value: percent(value)),
        lambda row: row["sdc_rate"].mean,
    ),
    Column("mean dLoss (nats)", lambda row: _estimate(row["mean_dloss"], number), _mean("mean_dloss")),
    Column("accuracy", _accuracy, lambda row: row["accuracy"]),
    Column("faults", lambda row: count(row["faults"]), lambda row: row["faults"]),
    Column("format", lambda row: row["format"], lambda row: row["format"], numeric=False),
    Column("protocol", lambda row: row["protocol"].replace("--", JOINED), lambda row: row["protocol"], numeric=False),
    Column("weights", lambda row: row["weights"], lambda row: row["weights"], numeric=False),
    Column("date", lambda row: row["date"] or NONE, lambda row: row["date"], numeric=False),
    Column("tgr", lambda row: row["version"], lambda row: row["version"], numeric=False),
)


def _data(groups: Sequence[Ranked]) -> Table:
    """Return all rows with unformatted values; `table` counts the tables from 1."""
    estimates = ("sdc_rate", "mean_dloss")
    plain = [name for name in groups[0].rows[0] if name not in estimates]
    ends = [f"{name}{end}" for name in estimates for end in ("", "_low", "_high", "_reliable")]
    rows = []
    for position, group in enumerate(groups, 1):
        for row in group.rows:
            cells: list[Any] = []
            for name in estimates:
                found: Estimate | None = row[name]
                cells += [found.mean, found.low, found.high, found.reliable] if found else [None] * 4
            rows.append([position, *(row[name] for name in plain), *cells])
    return Table(["table", *plain, *ends], rows)
