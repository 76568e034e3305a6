"""A figure of the report: title, caption, underlying data, and the drawing of its panels."""

import csv
import io
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from tgr_cli.report.theme import Palette

NONE = "–"  # an empty cell
NUMBER = re.compile(r"(?:[▲▼=~] )?[+-]?[\d.,]+(?:e[+-]?\d+)?(?:\s?[%×])?(?: \(.*\))?(?: [/→] [\d.,]+(?:\s%)?)?")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # first characters that spreadsheets take for a formula
FEW_ROWS = 48  # maximum number of rows of a table shown on the page itself


@dataclass(frozen=True)
class Table:
    """Data behind a figure or section, with unformatted values."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @property
    def few(self) -> bool:
        return len(self.rows) <= FEW_ROWS

    def csv(self) -> str:
        """Return the rows as CSV with full precision; None is an empty cell."""
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow([_guarded(name) for name in self.columns])
        writer.writerows([_guarded(cell) for cell in row] for row in self.rows)
        return written.getvalue()

    def link(self) -> str:
        """Return the CSV as a data: URL, which the browser saves offline."""
        return "data:text/csv;charset=utf-8;base64," + b64encode(self.csv().encode()).decode()


def _guarded(cell: Any) -> Any:
    """Return a cell safe from formula injection: text that looks like a formula gets a leading apostrophe."""
    return (
        f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(FORMULA) and not _is_number(cell) else cell
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Panel:
    """One plot: `draw` draws it into axes with the given colours; `height` is in pixels at a width of 360."""

    key: str
    draw: Callable[[Axes, Palette], None]
    title: str = ""
    height: int = 270


@dataclass(frozen=True)
class Plot:
    """Panels under one title and caption, and the data they show.

    `across`: panels per row on a wide page (None: as many as fit).
    """

    key: str
    title: str
    caption: str
    table: Table
    panels: Sequence[Panel]
    across: int | None = None


@dataclass(frozen=True)
class Block:
    """A table of formatted cells on the page; the first column is the row header."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    code: str = ""  # name of the column with command lines

    def numeric(self, place: int) -> bool:
        """Return whether a column contains numbers, which are right-aligned."""
        cells = [row[place] for row in self.rows if row[place] != NONE]
        return place > 0 and bool(cells) and all(NUMBER.fullmatch(cell) for cell in cells)


class Said(NamedTuple):
    """A sentence and its subject."""

    of: str
    text: str


@dataclass(frozen=True)
class Section:
    """A section of the page: sentences, tables, figures, and notes on missing parts."""

    key: str
    title: str
    sentences: Sequence[Said] = ()
    blocks: Sequence[Block] = ()
    figures: Sequence[Plot] = ()
    missing: Sequence[str] = field(default_factory=tuple)
