"""Run a command line in this process, whatever becomes of it."""

import io
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import pytest
from fuzz_inputs import Input
from fuzz_places import pipes_end
from llm_server import serving

from tgr_cli import app
from tgr_cli.models import zoo
from tgr_cli.steps import demo, models
from tgr_cli.text import client, failures

LONGEST = 60  # seconds, on a busy machine
READING = 10  # seconds after which a command that waits for a pipe is let go


class HangsError(BaseException):
    """Raised in a command that does not end; no `except Exception` takes it."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or what is `wrong`, a traceback for one; and what it printed."""

    code: object
    out: str
    err: str
    wrong: str = ""


def run(given: Input) -> Ended:
    """Run the command line and return how it ended."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors=e) for e in ("strict", "backslashreplace"))
    pipes = [Path(name) for name, place in given.places.items() if place == "a pipe"]
    code, wrong = None, ""
    with (
        pytest.MonkeyPatch.context() as patch,
        _served(given) as arguments,
        pipes_end(pipes, READING) as waited,
        _no_longer_than(LONGEST),
    ):
        patch.setattr(sys, "argv", ["tgr", *arguments])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        _shortened(patch)
        for name, value in given.variables.items():
            patch.setenv(name, value)
        try:
            app.main()
            wrong = "main() did not exit"
        except SystemExit as left:
            code = left.code or 0
        except (Exception, HangsError) as error:
            wrong = "".join(traceback.format_exception(error)[-4:])
    if waited:
        wrong = f"waited for {waited[0]}, a pipe that nobody writes to"
    out.flush()
    err.flush()
    return Ended(code, *(stream.buffer.getvalue().decode() for stream in (out, err)), wrong)  # type: ignore[attr-defined]


def _shortened(patch: pytest.MonkeyPatch) -> None:
    """Let the demo end after the commands that train nothing, list one model, and wait for no server."""
    stages = demo.stages
    patch.setattr(demo, "stages", lambda injections: stages(injections)[:2])
    small = SimpleNamespace(ZOO=("lenet5",), build=zoo.build, default_preprocessing=zoo.default_preprocessing)
    patch.setattr(models, "zoo", small)
    patch.setattr(client, "LONGEST_WAIT", 0.0)
    patch.setattr(failures, "LONGEST_RETRY_AFTER", 0.0)


@contextmanager
def _served(given: Input) -> Iterator[tuple[str, ...]]:
    """Give the arguments with the address of a server that gives the answers, where they ask for one."""
    if not any("{server}" in argument for argument in given.arguments):
        yield given.arguments
        return
    said = cycle(given.answers)
    with serving(lambda prompt, times: next(said)) as server:
        yield tuple(argument.replace("{server}", server.url) for argument in given.arguments)


@contextmanager
def _no_longer_than(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HangsError(f"no end after {seconds} s")

    kept = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, kept)
