"""A task as a node of Ray runs it: in a scratch folder, sending every file that it finishes back at once.

Nothing that a task writes rests on storage that nodes share, so a node that dies takes no more than the unit in work.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import tgr_cli

SCRATCH = "@scratch@"
LOOK = 0.3  # seconds between two looks for finished files
PASSED_ON = ("TGR_", "PYTHONPATH")  # how variables begin that a task is given


@dataclass(frozen=True)
class Work:
    """A task's words, with SCRATCH for the folder of its files; and the files to begin with, by their path in it.

    `place` is the folder to run it in, None for the copy of the working folder that Ray has made on the node.
    """

    words: tuple[str, ...]
    files: Mapping[str, bytes]
    place: str | None
    environment: Mapping[str, str]


def work(task: Work, plan: bytes | None) -> Iterator[tuple[str, bytes]]:
    """Run a task; yield the files that it writes, by their path in its folder, as soon as they are whole.

    `plan` is apart from the other files: as an argument of its own, Ray fetches it once a node.

    The first is "", with the node's name; the last is the log, under "log".
    """
    yield "", socket.gethostname().encode()
    with tempfile.TemporaryDirectory(prefix="tgr-") as name:
        scratch = Path(name)
        given = {**task.files, **({} if plan is None else {"plan.parquet": plan})}
        for path, content in given.items():
            (scratch / path).parent.mkdir(parents=True, exist_ok=True)
            (scratch / path).write_bytes(content)
        sent = _whole(scratch)
        words = [word.replace(SCRATCH, name) for word in task.words]
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tgr_cli.submit.tethered", *words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=task.place,
                env={**os.environ, **task.environment},
            )
            try:
                ended = False
                while not ended:
                    time.sleep(LOOK)
                    ended = process.poll() is not None
                    found = _whole(scratch)
                    for path, changed in sorted(found.items()):
                        with suppress(FileNotFoundError):  # parts are removed once the shard is whole
                            if sent.get(path) != changed:
                                yield path, (scratch / path).read_bytes()
                    sent = found
            finally:
                process.kill()
                process.communicate()
            log.seek(0)
            yield "log", log.read()


def _whole(folder: Path) -> dict[str, int]:
    """Return the files in a folder that are whole, each with the time of its last change in nanoseconds."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if not (path.name.startswith(".") or path.name == "lock" or path.is_dir()):
                found[str(path.relative_to(folder))] = path.stat().st_mtime_ns
    return found


def seen(place: str | None) -> tuple[str, str, bool]:
    """Return this node's name, its version of tgr, and whether it sees the folder `place`."""
    return socket.gethostname(), tgr_cli.__version__, place is None or os.path.isdir(place)


def environment(threads: int) -> dict[str, str]:
    """Return the variables of this process that a task is given, wherever it runs."""
    mine = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    return {**mine, "OMP_NUM_THREADS": str(threads)}
