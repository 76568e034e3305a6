"""What people see: data on stdout, everything else on stderr, progress only on a terminal."""

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tgr_cli.errors import printable
from tgr_cli.reporting import Reporter

PIPED_WIDTH = 160


class RateColumn(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "-/s", style="progress.data.speed")


class Console(Reporter):
    """A `Reporter` that writes to the terminal: `note` to stderr, `progress` as bars, `table` and `json` to stdout."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        # A file or pipe has no width: there tables are as wide as they need, up to a screen's worth.
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
        self._stdout = sys.stdout  # the session turns away whatever else is printed
        self._out = RichConsole(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty(), width=width)
        self._err = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        self.written: list[Path] = []
        self.facts: dict[str, Any] = {}  # for the run records: what may differ between equal runs
        self._bars: Progress | None = None
        self._tasks: dict[str, Any] = {}

    @contextmanager
    def running(self) -> Iterator["Console"]:
        """Show progress bars while the block runs, where stderr is a terminal and --quiet is not given."""
        if self.quiet or not self._err.is_terminal:
            yield self
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        with Progress(*columns, console=self._err, transient=True) as self._bars:
            try:
                yield self
            finally:
                self._bars, self._tasks = None, {}

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        if self._bars is None:
            return
        if what not in self._tasks:  # what is done at the first word, as when a campaign is resumed, is no speed
            self._tasks[what] = self._bars.add_task(escape(what), total=total, completed=done, detail="")
        self._bars.update(self._tasks[what], completed=done, total=total, detail=escape(detail))

    def note(self, text: str) -> None:
        if not self.quiet:
            self._err.print(escape(printable(text)))

    def wrote(self, *paths: Path) -> None:
        """Tell which files were written, and remember them for their run records."""
        self.written.extend(paths)
        for path in paths:
            self.note(f"wrote {path}")

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table of ready-made cells: the first column to the left, the others to the right."""
        table = Table(title=escape(printable(title)), title_justify="left", header_style="bold")
        for position, column in enumerate(columns):
            table.add_column(escape(printable(column)), justify="left" if position == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*(escape(printable(cell)) for cell in row))
        self._out.print(table)

    def line(self, text: str) -> None:
        """Print one line of data."""
        self._out.print(escape(printable(text)))

    def json(self, value: Any) -> None:
        """Print `value` as strict JSON; numbers that are not finite become null."""
        self._stdout.write(json.dumps(_strict(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share of 1 as text in percent; the only place where percent exists."""
    return "-" if share is None or math.isnan(share) else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with `digits` significant digits, a dash for none."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def count(value: int) -> str:
    """Return a whole number with thousands separated."""
    return f"{value:,}"


def factor(value: float | None) -> str:
    """Return an improvement factor, as in `2.87×`."""
    return "-" if value is None or math.isnan(value) else f"{value:.2f}×"


def duration(seconds: float) -> str:
    """Return a time in its largest units, as in `2 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60:02} min"


def size(amount: int) -> str:
    """Return an amount of bytes, as in `3.1 MiB`."""
    value, unit = float(amount), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
