"""Terminal output: data on stdout, everything else on stderr, progress bars only on a terminal."""

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole
from rich.markup import escape

from tgr_cli.commands import grid
from tgr_cli.errors import printable
from tgr_cli.reporting import Reporter

if TYPE_CHECKING:
    from rich.progress import Progress

PIPED_WIDTH = 160
MIN_BAR, MAX_BAR = 10, 24


class Console(Reporter):
    """A `Reporter` for the terminal: `note` to stderr, `progress` as bars, `table` and `json` to stdout."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        # Files and pipes have no width: let tables be as wide as needed, up to PIPED_WIDTH.
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
        self._stdout = sys.stdout  # kept: the session redirects other output away from stdout
        self._out = RichConsole(
            file=sys.stdout, highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty(), width=width
        )
        self._err = RichConsole(stderr=True, highlight=False, emoji=False, soft_wrap=True)
        self.written: list[Path] = []
        self.facts: dict[str, Any] = {}  # recorded in run records: may differ between equal runs
        self._bars: Progress | None = None
        self._tasks: dict[str, Any] = {}

    @contextmanager
    def running(self) -> Iterator["Console"]:
        """Context manager: show progress bars, if stderr is a terminal and --quiet is not given."""
        if self.quiet or not self._err.is_terminal:
            yield self
            return
        from tgr_cli.commands.progress_bars import bars  # slow to import, not needed for --help

        with bars(self._err) as self._bars:
            try:
                yield self
            finally:
                self._bars, self._tasks = None, {}

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        if self._bars is None:
            return
        if what not in self._tasks:  # the initial count, such as of a resumed campaign, must not affect the speed
            self._tasks[what] = self._bars.add_task(escape(what), total=total, completed=done, detail="")
        self._bars.update(self._tasks[what], completed=done, total=total, detail=escape(detail))

    def note(self, text: str) -> None:
        if not self.quiet:
            self._err.print(escape(printable(text)))

    def wrote(self, *paths: Path) -> None:
        """Report the files written, and keep their paths for run records."""
        self.written.extend(paths)
        for path in paths:
            self.note(f"wrote {path}")

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        bars: tuple[str, Sequence[float]] | None = None,
        head: int = 0,
    ) -> None:
        """Print a table of formatted cells, laid out by `grid`; the first `head` columns are kept together.

        On a wide enough terminal, `bars` (header and values) adds one bar per row. If the table is split, the bars are
        beside its first part.
        """
        cells = [[printable(cell) for cell in row] for row in rows]
        width = self._out.width
        parts = grid.lay_out([printable(column) for column in columns], cells, width, head)
        room = min(width - len(parts[0].rule) - len(grid.GAP), MAX_BAR)
        if bars and room >= MIN_BAR and self._out.is_terminal and self._out.encoding.startswith("utf"):
            what, values = bars
            parts[0] = parts[0].beside(what, grid.bars(values, room))
        self._out.print(printable(title), style="bold", markup=False)
        for part in parts:
            for line in part.header:
                self._out.print(line, style="bold", markup=False, soft_wrap=True)
            for line in (part.rule, *chain.from_iterable(part.rows), ""):
                self._out.print(line, markup=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """Print one line of data."""
        self._out.print(printable(text), markup=False)

    def text(self, text: str) -> None:
        """Print a text unchanged, for another program or a document."""
        self._stdout.write(text)

    def json(self, value: Any) -> None:
        """Print `value` as strict JSON; non-finite numbers become null."""
        self.text(json.dumps(_strict(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def percent(share: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage with the sign %."""
    shown = in_percent(share, digits)
    return shown if shown == "-" else f"{shown} %"


def in_percent(share: float | None, digits: int = 2, sign: str = "") -> str:
    """Return a fraction as a percentage without the sign %, for columns with it in the header.

    With "+" for `sign` a gain shows its own.
    """
    return "-" if share is None or math.isnan(share) else f"{100 * share:{sign}.{digits}f}"


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with `digits` significant digits, a dash for None."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def count(value: int) -> str:
    """Return an integer with thousands separators."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """Return a duration in its largest units, such as `2 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60:02} min"


def size(amount: int) -> str:
    """Return a size in bytes, such as `3.1 MiB`."""
    value, unit = float(amount), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
