"""Whatever a command is given, it ends in a result or in one sentence: no traceback, and no file but its own changed.

About a thousand inputs, drawn with a seed. TGR_FUZZ=10000 tries more; TGR_FUZZ_FROM=N begins at number N.
"""

import io
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from filelock import FileLock
from fuzz_cases import Input, covered, drawn, make_here
from toys_folder import files

from tgr_cli import app
from tgr_cli.artifacts.outputs import artifact_kind
from tgr_cli.commands import COMMANDS
from tgr_cli.errors import UNPRINTABLE

COUNT, FIRST = int(os.environ.get("TGR_FUZZ", "1000")), int(os.environ.get("TGR_FUZZ_FROM", "0"))
CHUNK = 40  # inputs a test, so that the workers of a test run share them
LONGEST = 60  # seconds, on a busy machine


class HangsError(BaseException):
    """Raised in a command that does not end; no `except Exception` takes it."""


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder with all files before any damage, made once for all workers of a test run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "fuzz"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            made = tmp_path_factory.mktemp("fuzz-made")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(made)
                make_here()
            made.rename(folder)
    return folder


@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, CHUNK))
def test_an_input_gives_a_result_or_one_sentence(first: int, whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "here"))
    os.chdir(folder)
    contents = files(folder)
    wrong = []
    for number in range(first, min(first + CHUNK, FIRST + COUNT)):
        given = drawn(Random(f"tgr {number}"), contents)
        for problem in tried(given, folder, contents):
            wrong.append(f"input {number}, {given}\n    {problem}")
    assert not wrong, "\n".join(wrong)


def tried(given: Input, folder: Path, contents: dict[str, bytes]) -> Iterator[str]:
    """Run one input in `folder`, give what is wrong about how it ended, and put the files back."""
    for name, content in given.files.items():
        (folder / name).write_bytes(content)
    before = contents | given.files
    code, out, err = run(given)
    if isinstance(code, str):
        yield code
    else:
        yield from _about_streams(given, code, out, err)
    yield from _about_files(given, code in (0, 3), before, files(folder))
    _put_back(folder, contents)


def _about_streams(given: Input, code: int | None, out: str, err: str) -> Iterator[str]:
    told = [line for line in err.splitlines() if line.startswith("tgr: ")]
    if code in (1, 2) and len(told) != 1:
        yield f"exit {code} with {len(told)} sentences: {err!a}"
    elif code in (1, 2) and (len(told[0]) > 20_000 or UNPRINTABLE.search(told[0])):
        yield f"a sentence that no one can read: {told[0][:3000]!a}"
    elif code not in (0, None, 1, 2, 3):
        yield f"exit {code}: {err!a}"
    if code in (0, None) and "--json" in given.arguments and out and "--help" not in given.arguments:
        try:
            json.loads(out)
        except ValueError:
            yield f"--json printed none: {out[:200]!a}"


def _about_files(given: Input, well: bool, before: dict[str, bytes], after: dict[str, bytes]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        if not well:
            yield f"{name} was {'changed' if name in after else 'removed'} by a command that failed"
        elif ".tmp" in name or ".lock" in name or ".parts/" in name:
            yield f"{name} was left over"
        elif name in before and not _its_own(given, name, before[name], after.get(name, b"")):
            yield f"{name} was {'changed' if name in after else 'removed'}"


def _its_own(given: Input, name: str, before: bytes, after: bytes) -> bool:
    """Return whether this file may be written: the output, in place of an earlier output of its kind."""
    if not any(name.startswith(allowed) or allowed.startswith(".") for allowed in given.may_change):
        return name.startswith("runs/") and len(given.may_change) > 1
    return not before or artifact_kind(io.BytesIO(before)) == artifact_kind(io.BytesIO(after))  # type: ignore[arg-type]


def _put_back(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in files(folder).items():
        if name not in contents:
            (folder / name).unlink()
        elif content != contents[name]:
            (folder / name).write_bytes(contents[name])
    for name in contents:
        if not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(contents[name])


def run(given: Input) -> tuple[Any, str, str]:
    """Run the command line in this process and return its exit code, or a traceback, and what it printed."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors=e) for e in ("strict", "backslashreplace"))
    with pytest.MonkeyPatch.context() as patch, _no_longer_than(LONGEST):
        patch.setattr(sys, "argv", ["tgr", *given.arguments])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        for name, value in given.variables.items():
            patch.setenv(name, value)
        try:
            app.main()
            code: Any = "main() did not exit"
        except SystemExit as left:
            code = left.code
        except (Exception, HangsError) as error:
            code = f"{''.join(traceback.format_exception(error)[-4:])}"
    out.flush()
    err.flush()
    return code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()  # type: ignore[attr-defined]


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


def test_all_commands_are_tried() -> None:
    assert set(COMMANDS) - covered() == {"demo", "models"}  # which read nothing, and take long


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
