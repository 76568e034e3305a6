"""`tgr submit --local` with forks for its processes: other interpreters would each import torch again."""

import fcntl
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from processes import command_line

from tgr_cli.artifacts.parts import Parts
from tgr_cli.submit import local

MOMENT = 0.05  # seconds between two looks at the tasks
# Files that name a shard, as 2/2: what its process does to itself once it has stored its first unit.
DOOMED, STOPPED = Path("doomed"), Path("stopped")
SIGNALS = {DOOMED: signal.SIGKILL, STOPPED: signal.SIGSTOP}


class Fork:
    """A fork of this process that runs a function and ends; its output is appended to a file."""

    def __init__(self, run: Callable[[], None], log: Path) -> None:
        self.pid = os.fork()
        if self.pid:
            return
        try:
            os.setsid()
            for number in (1, 2):
                os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), number)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            run()
        except SystemExit as left:
            sys.stderr.flush()
            os._exit(int(left.code or 0))
        finally:
            os._exit(1)

    def poll(self) -> None:
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def launch(words: Sequence[str], log: Path, held: int, environment: object) -> Fork:
    """Start tgr as `local.launch` does."""

    def run() -> None:
        fcntl.fcntl(held, fcntl.F_DUPFD, 100)  # the lock stays held by the copy
        os.dup2(os.open(os.devnull, os.O_WRONLY), held)  # pytest's handlers may write to a file of this number
        for file, number in SIGNALS.items():
            if file.exists() and file.read_text() in words:
                signal_itself(file, number)
        command_line(*words[words.index("inject") :])

    return Fork(run, log)


def signal_itself(file: Path, number: signal.Signals) -> None:
    """Let this process send itself a signal, once it has stored a unit; `file` is removed, so that happens once."""
    write = Parts.write

    def struck(*arguments: object) -> None:
        write(*arguments)  # type: ignore[arg-type]
        if file.exists():
            file.unlink()
            os.kill(os.getpid(), number)

    Parts.write = struck  # type: ignore[assignment, method-assign]


def submit(*words: str, log: Path) -> Fork:
    """Start `tgr submit WORDS` in a fork, which forks in turn."""

    def run() -> None:
        local.launch, local.Local.pause = launch, MOMENT  # type: ignore[assignment]
        command_line("submit", *words)

    return Fork(run, log)
