"""Sees tasks through: starts them, waits, starts killed ones again, and ends with the error of one that failed."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tgr_cli.errors import TgrError
from tgr_cli.submit.division import Task
from tgr_cli.submit.runner import Runner

# Told the tasks that are not finished, by number, and how many of them are in which state.
Progress = Callable[[Mapping[int, Task], Mapping[str, int]], None]


def finish(tasks: Sequence[Task], runner: Runner, *, retries: int, progress: Progress) -> None:
    """Return once all tasks are finished.

    A task that is finished is left alone, one that runs is waited for, and one that was killed is started again, up to
    `retries` times. Raises TgrError for a task that ends in an error of tgr's, or is killed once more.
    """
    watched = _Watch(tasks, runner, retries)
    if watched.alive:
        runner.reporter.note(f"already running, and waited for: {_named(tasks, watched.alive)}")
    while watched.left:
        if not watched.start_what_is_not_running():
            progress(watched.left, Counter(watched.alive.values()))
            time.sleep(runner.pause)
        watched.look()


class _Watch:
    def __init__(self, tasks: Sequence[Task], runner: Runner, retries: int) -> None:
        self.left = {task.number: task for task in tasks}
        self.alive: dict[int, str] = {}
        self._runner, self._retries = runner, retries
        self._starts: Counter[int] = Counter()
        self._gone: dict[int, float] = {}  # when a task was first seen neither alive nor finished
        self.look()
        self._starts.update(self.alive.keys())

    def look(self) -> None:
        """Find out which tasks are alive, then which of the others are finished: nothing can change between the two."""
        self.alive = dict(self._runner.alive(self.left.values()))
        ended = [task for task in self.left.values() if task.number not in self.alive]
        for task in ended:
            if task.output.exists():
                if sentence := task.failure():
                    raise self._failed(task, sentence)
                del self.left[task.number]

    def start_what_is_not_running(self) -> bool:
        """Start tasks that were never started, or were killed; return whether any was."""
        ready = [task for task in self.left.values() if task.number not in self.alive and self._may_start(task)]
        if not ready:
            return False
        started = self._runner.start(ready)
        for task in started:
            self._starts[task.number] += 1
            self._gone.pop(task.number, None)
        return bool(started)

    def _may_start(self, task: Task) -> bool:
        """Return whether to start a task now that is neither alive nor finished."""
        if not self._starts[task.number]:
            task.log.unlink(missing_ok=True)
            return True
        if time.monotonic() - self._gone.setdefault(task.number, time.monotonic()) < self._runner.settling:
            return False
        if sentence := task.failure():
            raise self._failed(task, sentence)
        last = task.last_words()
        if self._starts[task.number] > self._retries:
            raise TgrError(
                f"{task.label} was killed {self._starts[task.number]} times before it was finished{last}; see "
                f"{task.log}, and give the same command again to go on, with a larger --retries if that may help"
            )
        again = f"started again, {self._starts[task.number]} of at most {self._retries} times"
        self._runner.reporter.note(f"{task.label} was killed{last}; {again}")
        task.log.unlink(missing_ok=True)
        return True

    def _failed(self, task: Task, sentence: str) -> TgrError:
        again = f"; remove {task.output} to run it again" if task.output.exists() else ""
        return TgrError(f"{task.label} failed: {sentence} (log: {task.log}){again}")


def _named(tasks: Sequence[Task], alive: dict[int, str]) -> str:
    """Return the tasks that are alive in words, only the first few of many."""
    found = [task.label for task in tasks if task.number in alive]
    more = f" and {len(found) - 4:,} more" if len(found) > 4 else ""
    return ", ".join(found[:4]) + more
