"""Layout of a table of formatted cells within a given width. Numbers are never cut or wrapped.

A column of numbers, with or without intervals, is right-aligned at the decimal point. Any other column is text:
left-aligned, and wrapped if the table is too wide. A table that is still too wide is split, with its first column
repeated.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, chop_cells

GAP, RULE = "  ", "─"
NUMBER = re.compile(r"[-+~]?[\d,]*\.?\d+(e[-+]?\d+)?( ?[×%])?( \(.*\)| to .*)?")  # with an optional interval or gain
NONE = ("", "-")
LEAST = 16  # characters: minimum width of wrapped text
BLOCKS = " ▏▎▍▌▋▊▉█"


class Lines(NamedTuple):
    """A laid-out table: its header lines, the rule below them, and the lines of each row."""

    header: list[str]
    rule: str
    rows: list[list[str]]

    def beside(self, name: str, bars: Sequence[str]) -> "Lines":
        """Return the table with a column of bars on the right, one per row."""
        width = len(self.rule)
        header = [*self.header[:-1], self.header[-1] + " " * (width - cell_len(self.header[-1])) + GAP + name]
        rows = [
            [first + " " * (width - cell_len(first)) + GAP + bar, *others]
            for (first, *others), bar in zip(self.rows, bars, strict=True)
        ]
        return self._replace(header=header, rows=rows)


class _Column(NamedTuple):
    name: str
    cells: list[str]
    text: bool

    @property
    def least(self) -> int:
        """Return the minimum width: numbers and header words stay unbroken, text has at least LEAST characters."""
        width = max(map(cell_len, self.cells), default=0)
        return max(min(width, LEAST) if self.text else width, *map(cell_len, self.name.split() or [""]))

    @property
    def natural(self) -> int:
        """Return the width at which no cell is wrapped and the header takes at most two lines."""
        width = max(self.least, *map(cell_len, self.cells), 0)
        return next(wide for wide in range(width, width + cell_len(self.name) + 1) if len(folded(self.name, wide)) <= 2)


def lay_out(names: Sequence[str], rows: Sequence[Sequence[str]], width: int, head: int = 0) -> list[Lines]:
    """Return the table as one block of lines, or as several if it is too wide, to be printed below each other.

    In a split table the first `head` columns are not mixed with the others.
    """
    columns = [_column(name, [row[place] for row in rows]) for place, name in enumerate(names)]
    if _total([column.least for column in columns]) <= width:
        return [_lines(columns, _widths(columns, width))]
    first, *others = columns
    kept = first.natural if first.natural <= width // 2 else first.least
    parts = [[first]]
    for place, column in enumerate(others, start=1):
        full = _total([kept, *(each.least for each in parts[-1][1:]), column.least]) > width
        if (full or place == head) and len(parts[-1]) > 1:
            parts.append([first])
        parts[-1].append(column)
    return [_lines(part, _widths(part, width, kept)) for part in parts]


def bars(values: Sequence[float], width: int) -> list[str]:
    """Return one bar per value, the largest `width` characters long, in steps of 1/8 character; "" for NaN."""
    largest = max((value for value in values if value > 0), default=1.0)
    eighths = [round(8 * width * value / largest) if value > 0 else 0 for value in values]
    return [BLOCKS[8] * (number // 8) + BLOCKS[number % 8].strip() for number in eighths]  # strip: no partial block


def is_numbers(cells: Sequence[str]) -> bool:
    """Return whether all cells are numbers or empty, and not all are empty."""
    return all(cell in NONE or NUMBER.fullmatch(cell) for cell in cells) and not all(cell in NONE for cell in cells)


def _column(name: str, cells: list[str]) -> _Column:
    numbers = is_numbers(cells)
    return _Column(name, _aligned(cells) if numbers else cells, not numbers)


def _aligned(cells: list[str]) -> list[str]:
    """Return the cells padded on the right, so that right-aligned cells have their decimal points aligned."""
    after = [cell_len(cell) - cell_len(cell.partition(".")[0]) for cell in cells]
    return [cell + " " * (max(after) - length) for cell, length in zip(cells, after, strict=True)]


def _widths(columns: Sequence[_Column], width: int, kept: int = 0) -> list[int]:
    """Return the column widths: natural widths, with the widest narrowed until the table fits.

    The first column keeps at least the width `kept`.
    """
    widths, least = [column.natural for column in columns], [column.least for column in columns]
    least[0] = max(least[0], kept)
    for _ in range(_total(widths) - width):
        wide = [place for place in range(len(columns)) if widths[place] > least[place]]
        if not wide:
            break
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _lines(columns: Sequence[_Column], widths: Sequence[int]) -> Lines:
    headers = [folded(column.name, width) for column, width in zip(columns, widths, strict=True)]
    height = max(map(len, headers))
    header = _beside([[""] * (height - len(lines)) + lines for lines in headers], columns, widths)
    rows = []
    for row in zip(*(column.cells for column in columns), strict=True):
        cells = [
            folded(cell, width) if column.text else [cell]
            for cell, column, width in zip(row, columns, widths, strict=True)
        ]
        rows.append(_beside(cells, columns, widths))
    return Lines(header, GAP.join(RULE * width for width in widths), rows)


def _beside(cells: Sequence[list[str]], columns: Sequence[_Column], widths: Sequence[int]) -> list[str]:
    """Return the lines of a row of multi-line cells, side by side."""
    lines = []
    for number in range(max(map(len, cells))):
        parts = []
        for cell, column, width in zip(cells, columns, widths, strict=True):
            part = cell[number] if number < len(cell) else ""
            fill = " " * (width - cell_len(part))
            parts.append(part + fill if column.text else fill + part)
        lines.append(GAP.join(parts).rstrip())
    return lines


def folded(text: str, width: int) -> list[str]:
    """Return the text wrapped at `width`, at spaces; longer words are broken after one of . / _ -."""
    lines = [""]
    for word in text.split():
        pieces = [word] if cell_len(word) <= width else _pieces(word, width)
        for number, piece in enumerate(pieces):
            joint = "" if number or not lines[-1] else " "
            if lines[-1] and cell_len(lines[-1] + joint + piece) > width:
                lines.append(piece)
            else:
                lines[-1] += joint + piece
    return lines


def _pieces(word: str, width: int) -> list[str]:
    parts = re.findall(r"[^./_-]*[./_-]+|[^./_-]+", word)
    return [piece for part in parts for piece in chop_cells(part, width)]
