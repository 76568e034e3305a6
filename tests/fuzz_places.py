"""What may stand where a file is expected, and a folder as it is found: links and pipes, too, not only files."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from threading import Timer


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(b"kept")


def _unreadable(path: Path) -> None:
    path.write_bytes(b"PAR1")
    path.chmod(0)  # means nothing to root


# Each makes something other than a readable file.
PLACES: dict[str, Callable[[Path], object]] = {
    "a folder": _folder,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link that leads nowhere": lambda path: path.symlink_to("nowhere"),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to its folder": lambda path: path.symlink_to("."),
    "a pipe": lambda path: os.mkfifo(path),
    "an unreadable file": _unreadable,
}


def put(path: Path, place: str) -> None:
    """Make `place` at `path`, instead of what is there."""
    remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    PLACES[place](path)


def remove(path: Path) -> None:
    """Remove whatever is at `path`."""
    if path.is_dir() and not path.is_symlink():
        rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def seen(folder: Path) -> dict[str, bytes]:
    """Return by path within `folder` what every file in it holds, where every link leads, and what is a pipe."""
    found = {}
    for parent, folders, names in os.walk(folder):
        for name in (*names, *folders):
            path = os.path.join(parent, name)
            mode = os.lstat(path).st_mode
            if not stat.S_ISDIR(mode):
                found[os.path.relpath(path, folder)] = _content(path, mode)
    return found


def _content(path: str, mode: int) -> bytes:
    if stat.S_ISLNK(mode):
        return b"a link to " + os.fsencode(os.readlink(path))
    if not stat.S_ISREG(mode):
        return b"a pipe"
    try:
        with open(path, "rb") as file:
            return file.read()
    except PermissionError:
        return b"unreadable"


@contextmanager
def pipes_end(pipes: list[Path], seconds: float) -> Iterator[list[Path]]:
    """Let a reader of these pipes find their end after `seconds`, and give those that one waited for.

    Libraries in C open a file again when a signal interrupts them: only a writer gets a process out of there.
    """
    waited: list[Path] = []

    def end() -> None:
        for pipe in pipes:
            with suppress(OSError):  # which says that nobody reads
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
                waited.append(pipe)

    timer = Timer(seconds, end)
    if pipes:
        timer.start()
    try:
        yield waited
    finally:
        timer.cancel()
