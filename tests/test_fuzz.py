"""Whatever a command is given, it ends in a result or in one sentence: no traceback, and no file but its own changed.

160 inputs, drawn with a seed; CI tries a thousand. TGR_FUZZ=10000 tries more, TGR_FUZZ_FROM=N begins at number N,
and TGR_FUZZ_ONLY=last.pt tries only inputs with this in their name or command.
"""

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from filelock import FileLock
from fuzz_cases import covered, drawn
from fuzz_folder import make_here
from fuzz_inputs import Input
from fuzz_places import put, remove, seen
from fuzz_running import Ended, run

from tgr_cli.artifacts.outputs import artifact_kind
from tgr_cli.commands import COMMANDS
from tgr_cli.errors import UNPRINTABLE

COUNT, FIRST = int(os.environ.get("TGR_FUZZ", "160")), int(os.environ.get("TGR_FUZZ_FROM", "0"))
ONLY = os.environ.get("TGR_FUZZ_ONLY", "")
CHUNK = 40  # inputs a test, so that the workers of a test run share them
LONGEST_SENTENCE = 20_000  # characters


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
    contents = seen(folder)
    wrong = []
    for number in range(first, min(first + CHUNK, FIRST + COUNT)):
        given = drawn(Random(f"tgr {number}"), contents, ONLY)
        for problem in tried(given, folder, contents):
            wrong.append(f"input {number}, {given}\n    {problem}")
    assert not wrong, "\n".join(wrong)


def test_all_commands_are_tried() -> None:
    assert covered() == set(COMMANDS)


def tried(given: Input, folder: Path, contents: dict[str, bytes]) -> Iterator[str]:
    """Run one input in `folder`, give what is wrong about how it ended, and put the files back."""
    for name, content in given.files.items():
        remove(folder / name)
        if content is not None:
            (folder / name).write_bytes(content)
    for name, place in given.places.items():
        put(folder / name, place)
    before = seen(folder)
    ended = run(given)
    after = seen(folder)
    yield from _about_streams(given, ended)
    yield from _about_files(given, ended.code in (0, 3), before, after)
    _put_back(given, folder, contents, after)


def _about_streams(given: Input, ended: Ended) -> Iterator[str]:
    code, out, err = ended.code, ended.out, ended.err
    told = [line for line in err.splitlines() if line.startswith("tgr: ")]
    if ended.wrong:
        yield ended.wrong
    elif code in (1, 2) and len(told) != 1:
        yield f"exit {code} with {len(told)} sentences: {err!a}"
    elif code in (1, 2) and (len(told[0]) > LONGEST_SENTENCE or UNPRINTABLE.search(told[0])):
        yield f"a sentence that no one can read: {told[0][:3000]!a}"
    elif code == 1 and not (";" in told[0] or "?" in told[0] or ", " in told[0]):
        yield f"no next step: {told[0]!a}"
    elif code not in (0, 1, 2, 3):
        yield f"exit {code}: {err!a}"
    if code == 0 and "--json" in given.arguments and out and "--help" not in given.arguments:
        try:
            json.loads(out)
        except ValueError:
            yield f"--json printed none: {out[:200]!a}"


def _about_files(given: Input, well: bool, before: dict[str, bytes], after: dict[str, bytes]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        if not well and name.endswith(".answers.jsonl") and after.get(name, b"").startswith(before.get(name, b"")):
            continue  # what a server has answered is kept, whatever becomes of the rest
        if not well:
            yield f"{name} was {'changed' if name in after else 'removed'} by a command that failed"
        elif name in after and (".tmp" in name or ".lock" in name or ".parts/" in name):
            yield f"{name} was left over"
        elif name in before and not _its_own(given, name, before[name], after.get(name, b"")):
            yield f"{name} was {'changed' if name in after else 'removed'}"


def _its_own(given: Input, name: str, before: bytes, after: bytes) -> bool:
    """Return whether this file may be written: the output, in place of an earlier output of its kind."""
    if not any(name.startswith(allowed) or allowed.startswith(".") for allowed in given.may_change):
        return name.startswith("runs/") and len(given.may_change) > 1
    return not (before and after) or _kind(before) == _kind(after)


def _kind(content: bytes) -> str:
    return artifact_kind(io.BytesIO(content))  # type: ignore[arg-type]


def _put_back(given: Input, folder: Path, contents: dict[str, bytes], after: dict[str, bytes]) -> None:
    for name in {*given.places, *(name for name in after if after[name] != contents.get(name))}:
        remove(folder / name)
    for name, content in contents.items():
        if not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
