"""Progress of a step in a notebook or a terminal, by rich, and the notes it gives."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from tgr_cli.api.wording import as_arguments
from tgr_cli.reporting import Reporter


class Told(Reporter):
    """A `Reporter` that keeps the notes and, where `bars` are given, shows them and the progress."""

    def __init__(self, bars: Progress | None) -> None:
        self.notes: list[str] = []
        self._bars, self._tasks = bars, dict[str, Any]()

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        if self._bars is None:
            return
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(escape(what), total=total, completed=done)
        self._bars.update(self._tasks[what], completed=done, total=total)

    def note(self, text: str) -> None:
        self.notes.append(as_arguments(text))
        if self._bars is not None:
            self._bars.console.print(escape(self.notes[-1]), highlight=False)


@contextmanager
def told(*, shown: bool) -> Iterator[Told]:
    """Context manager with the reporter of a step; `shown`: with bars, which a notebook shows as well, and notes."""
    if not shown:
        yield Told(None)
        return
    with Progress(console=Console(file=sys.stderr), transient=True) as bars:
        yield Told(bars)
