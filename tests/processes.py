"""Processes of their own, forked from one that has imported the libraries: importing takes 5 to 8 seconds each time."""

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

TESTS = Path(__file__).parent
# For toys:build_toy; and the package beside the tests, before one that is installed.
PYTHONPATH = os.pathsep.join((str(TESTS.parent), str(TESTS)))

WRITTEN = ("out", "err")  # files of what a process writes


@dataclass(frozen=True)
class Ran:
    """How a process ended: its exit code (negative: the signal that killed it), and what it wrote."""

    code: int
    out: str
    err: str


class Running:
    """A process that runs `call(*arguments)` in a folder, with more environment variables than this process.

    `call` is a function of a module beside the tests; its result is the exit code, as in `sys.exit`.
    """

    def __init__(self, call: Callable[..., object], *arguments: object, cwd: Path | None = None, **more: str) -> None:
        self._written = TemporaryDirectory(prefix="tgr-test-")
        for name in WRITTEN:  # even if it is killed before it writes
            (Path(self._written.name) / name).touch()
        environment = {**os.environ, "PYTHONPATH": PYTHONPATH, **more}
        place = (Path(self._written.name), (cwd or Path()).absolute(), environment)
        self._process = multiprocessing.get_context("forkserver").Process(target=_become, args=(place, call, arguments))
        self._process.start()

    def running(self) -> bool:
        return self._process.is_alive()

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def wait(self, seconds: float = 240) -> Ran:
        """Return how it ended; it is killed if it runs for longer than `seconds`."""
        self._process.join(seconds)
        if self.running():
            self._process.kill()
            self._process.join()
        out, err = ((Path(self._written.name) / name).read_text(encoding="utf-8") for name in WRITTEN)
        self._written.cleanup()
        assert self._process.exitcode is not None
        return Ran(self._process.exitcode, out, err)


def start(*arguments: object, cwd: Path | None = None, **more: str) -> Running:
    """Start `tgr ARGUMENTS` in a process of its own."""
    return Running(command_line, *map(str, arguments), cwd=cwd, **more)


def tgr(*arguments: object, cwd: Path | None = None, **more: str) -> Ran:
    """Run `tgr ARGUMENTS` in a process of its own."""
    return start(*arguments, cwd=cwd, **more).wait()


def command_line(*arguments: str) -> None:
    from tgr_cli import app

    sys.argv = ["tgr", *arguments]
    app.main()


def start_server() -> None:
    """Fork the server that processes are forked from off this process, where tests have imported the libraries already.

    multiprocessing would start it as a new interpreter, which has to import them again. To be called before the first
    test, as the server keeps the state of this process: what a test has changed or started would reach every process.
    """
    import imported  # noqa: F401  what is left to import

    resource_tracker.ensure_running()  # a new interpreter, as ever
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads; here one waits for messages of pytest-xdist, and holds no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        patch.setattr("multiprocessing.util.spawnv_passfds", _forked)
        forkserver.ensure_running()


def _forked(executable: bytes, arguments: Sequence[str], kept: Sequence[int]) -> int:
    """Run the Python code of an interpreter's arguments in a fork of this process, with only the files `kept` open."""
    if child := os.fork():
        return child
    try:
        for before, after in pairwise((2, *sorted(kept), os.sysconf("SC_OPEN_MAX"))):
            os.closerange(before + 1, after)
        # pytest has put others in their place
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
        exec(arguments[-1], {})
    finally:
        os._exit(1)  # never return into pytest
    raise AssertionError


def _become(place: tuple[Path, Path, Mapping[str, str]], call: Callable[..., object], arguments: tuple) -> None:
    written, folder, environment = place
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a shell's background
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, name in enumerate(WRITTEN, 1):
        os.dup2(os.open(written / name, os.O_WRONLY | os.O_CREAT), number)
    sys.exit(call(*arguments))  # type: ignore[arg-type]
