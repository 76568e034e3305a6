"""Tables for documents: Markdown, and LaTeX with booktabs."""

import re
from collections.abc import Sequence

from rich.cells import cell_len

from tgr_cli.commands.grid import is_numbers
from tgr_cli.errors import printable

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"$\sim$",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
MINUS = re.compile(r"(?<![^\s(])-(?=\d)")  # a minus sign; a hyphen within a name stays


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the table in Markdown, numbers right-aligned, Markdown's special characters escaped."""
    table = [[re.sub(r"([\\|*_`<\[\]~])", r"\\\1", _line(cell)) for cell in row] for row in (columns, *rows)]
    right = _right(rows)
    widths = [max(3, *map(cell_len, cells)) for cells in zip(*table, strict=True)]
    rule = ["-" * (width - 1) + ":" if is_right else "-" * width for width, is_right in zip(widths, right, strict=True)]
    lines = []
    for row in (table[0], rule, *table[1:]):
        cells = []
        for cell, width, is_right in zip(row, widths, right, strict=True):
            fill = " " * (width - cell_len(cell))
            cells.append(fill + cell if is_right else cell + fill)
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


def latex(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the table as a LaTeX tabular with booktabs rules, TeX's special characters escaped."""
    head, *body = (" & ".join(map(_tex, row)) + r" \\" for row in (columns, *rows))
    places = "".join("r" if is_right else "l" for is_right in _right(rows))
    lines = [rf"\begin{{tabular}}{{{places}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _right(rows: Sequence[Sequence[str]]) -> list[bool]:
    return [is_numbers(cells) for cells in zip(*rows, strict=True)]


def _line(cell: str) -> str:
    """Return a cell without line breaks, which would end its row, and with control characters escaped."""
    return printable(" ".join(cell.split()))


def _tex(cell: str) -> str:
    return MINUS.sub("$-$", "".join(LATEX.get(letter, letter) for letter in _line(cell)))
