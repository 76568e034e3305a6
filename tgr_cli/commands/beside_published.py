"""Output of the papers' figures beside measured ones."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tgr_cli.commands.console import Console, in_percent
from tgr_cli.reporting import SHARES, plain_factor

if TYPE_CHECKING:
    from tgr_cli.campaign.beside_published import BesidePublished


def print_beside(console: Console, beside: "BesidePublished") -> None:
    """Print the table of measured and published figures, if there are published ones, and what is to be known."""
    if beside.rows:
        console.table("Measured and published", *beside_table(beside.rows))
    for sentence in beside.sentences:
        console.line(f"{sentence}.")


def beside_table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return columns and cells of the table: one row for each figure of each source."""
    columns = ["candidate", "figure", "measured", "published", "source", "mean of its family"]
    return columns, [
        [
            row["candidate"],
            f"{row['meaning']} ({'%' if row['figure'] in SHARES else '×'})",
            _with_limits(row),
            _shown(row["figure"], row["published"]),
            row["source"],
            f"{plain_factor(row['family_mean'])} ({row['family']})" if row["family"] else "-",
        ]
        for row in rows
    ]


def _with_limits(row: Mapping[str, Any]) -> str:
    shown = [_shown(row["figure"], row[name]) for name in ("measured", "low", "high")]
    return shown[0] if row["low"] is None else f"{shown[0]} ({shown[1]} to {shown[2]})"


def _shown(figure: str, value: float | None) -> str:
    if value is None:
        return "-"
    if figure in SHARES:
        return in_percent(value, sign="+" if figure == "top2diff" else "")
    return plain_factor(value)
