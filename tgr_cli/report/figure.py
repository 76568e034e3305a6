"""A figure of the report: what it is called, what it says, the rows behind it, and how its panels are drawn."""

import csv
import io
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from tgr_cli.report.theme import Palette

NONE = "–"  # a cell without a value
NUMBER = re.compile(r"(?:[▲▼=~] )?[+-]?[\d.,]+(?:e[+-]?\d+)?(?:\s?[%×])?(?: \(.*\))?(?: [/→] [\d.,]+(?:\s%)?)?")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for the beginning of a formula
FEW_ROWS = 48  # a table of up to so many is on the page as well


@dataclass(frozen=True)
class Table:
    """Rows behind a figure or of a section: plain values, as in the artifacts they come from."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @property
    def few(self) -> bool:
        return len(self.rows) <= FEW_ROWS

    def csv(self) -> str:
        """Return the rows as CSV, numbers in full, an empty cell for none."""
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow([_guarded(name) for name in self.columns])
        writer.writerows([_guarded(cell) for cell in row] for row in self.rows)
        return written.getvalue()

    def link(self) -> str:
        """Return the CSV as a data: address, which a browser saves without asking anyone."""
        return "data:text/csv;charset=utf-8;base64," + b64encode(self.csv().encode()).decode()


def _guarded(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs as a formula: text that begins like one gets an apostrophe before it."""
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
    """One plot: `draw` puts it into axes, in the colours it is given; `height` is in pixels at a width of 360."""

    key: str
    draw: Callable[[Axes, Palette], None]
    title: str = ""
    height: int = 270


@dataclass(frozen=True)
class Figure:
    """Panels under one title and caption, and the rows they show.

    `across`: how many panels make a row where there is room for it (None: as many as fit).
    """

    key: str
    title: str
    caption: str
    table: Table
    panels: Sequence[Panel]
    across: int | None = None


@dataclass(frozen=True)
class Block:
    """A table that is shown on the page as it is, ready-made cells; the first column heads each row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    code: str = ""  # the column that holds command lines

    def numeric(self, place: int) -> bool:
        """Return whether a column holds numbers, which are set to the right."""
        cells = [row[place] for row in self.rows if row[place] != NONE]
        return place > 0 and bool(cells) and all(NUMBER.fullmatch(cell) for cell in cells)


class Said(NamedTuple):
    """A sentence, and what it speaks of."""

    of: str
    text: str


@dataclass(frozen=True)
class Section:
    """A part of the page: sentences, tables, figures, and what is missing and would be here."""

    key: str
    title: str
    sentences: Sequence[Said] = ()
    blocks: Sequence[Block] = ()
    figures: Sequence[Figure] = ()
    missing: Sequence[str] = field(default_factory=tuple)
