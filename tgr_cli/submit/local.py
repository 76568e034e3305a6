"""Runs tasks as processes of this machine, which go on if the command that started them is killed."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tgr_cli.cores import cores
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.submit.division import Task
from tgr_cli.submit.runner import PROGRAM, Resources, Runner

TO_END = 10.0  # seconds that a process has to end itself after SIGINT


class Local(Runner):
    """At most `at_once` processes at a time.

    Each inherits a lock on the task's file `held`, which the system releases when the process ends, however it does.
    """

    pause, settling, outlives = 0.3, 0.0, False

    def __init__(self, at_once: int, resources: Resources, reporter: Reporter) -> None:
        super().__init__(reporter)
        self._at_once = at_once
        self._cores = cores()
        self._threads = resources.cpus or max(1, self._cores // at_once)
        self._alive = 0
        self._children: list[subprocess.Popen[bytes]] = []

    def refuse(self) -> None:
        """Nothing is needed but this machine."""

    def begin(self, name: str) -> None:
        if self._at_once > self._cores:
            more = f"--local {self._at_once} is more than the cores here, {self._cores}"
            self.reporter.note(f"{more}, which makes nothing faster")

    def alive(self, tasks: Collection[Task]) -> Mapping[int, str]:
        for child in self._children:
            child.poll()  # otherwise an ended child stays as a zombie
        found = {task.number: "running" for task in tasks if is_held(task.held)}
        self._alive = len(found)
        return found

    def start(self, tasks: Sequence[Task]) -> Sequence[Task]:
        room = tasks[: max(0, self._at_once - self._alive)]
        for task in room:
            self._start(task)
        return room

    def _start(self, task: Task) -> None:
        task.log.parent.mkdir(parents=True, exist_ok=True)
        held = os.open(task.held, os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise TgrError(f"another process has just started {task.label}; give the same command again") from error
            threads = os.environ.get("OMP_NUM_THREADS", str(self._threads))
            child = launch([*PROGRAM, *task.words], task.log, held, {**os.environ, "OMP_NUM_THREADS": threads})
            self._children.append(child)
            os.ftruncate(held, 0)
            os.pwrite(held, str(child.pid).encode(), 0)
        finally:
            os.close(held)

    def cancel(self, tasks: Collection[Task]) -> None:
        for number, wait in ((signal.SIGINT, TO_END), (signal.SIGKILL, TO_END)):
            for task in tasks:
                if is_held(task.held):
                    with suppress(ProcessLookupError, ValueError):
                        os.kill(int(task.held.read_text()), number)
            until = time.monotonic() + wait
            while self.alive(tasks) and time.monotonic() < until:
                time.sleep(0.05)


def launch(words: Sequence[str], log: Path, held: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that writes to `log` and inherits the lock `held`; in its own session, no Ctrl-C reaches it."""
    with log.open("ab") as written:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=(held,),
            start_new_session=True,
        )


def is_held(path: Path) -> bool:
    """Return whether a process has this file locked."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
