"""Paths: what a text names, in a store or on this machine, and what the two do differently."""

import os
import shutil
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from tgr_cli.errors import TgrError
from tgr_cli.storage import recent, remote
from tgr_cli.storage.copies import new_file
from tgr_cli.storage.remote import RemotePath
from tgr_cli.storage.stores import LOCAL, reads_as_address, refuse_one_slash, refuse_unknown, scheme_of


def place(text: str | Path) -> Path:
    """Return the path that a text names, in a store, as "s3://bucket/run", or on this machine.

    Raises TgrError for a scheme that is unknown, and for an address with one slash.
    """
    if isinstance(text, RemotePath):
        return text
    written = os.fspath(text)
    refuse_unknown(written)
    if isinstance(text, str):
        refuse_one_slash(written)
    if scheme_of(written):
        return RemotePath(written)
    here = Path(written.removeprefix(f"{LOCAL}://"))
    return here.absolute() if reads_as_address(str(here)) else here  # Path leaves out the "./" of "./s3:/x"


def is_stored(path: Path) -> bool:
    """Return whether a path lies in a store: no process can lock it, and no file in it can be opened for writing."""
    return isinstance(path, RemotePath)


def on_this_machine(path: Path, why: str) -> Path:
    """Return a path that must not lie in a store; raises TgrError where it does, saying `why` not."""
    if is_stored(path):
        raise TgrError(f"{path} lies in a store, and {why}; use a path of this machine")
    return path


def real(path: Path) -> Path:
    """Return the absolute path with symbolic links resolved; a cycle of links is left for `open` to report.

    `Path.resolve` raises RuntimeError for a cycle before Python 3.13.
    """
    return path if is_stored(path) else Path(os.path.realpath(path))


def matching(pattern: Path) -> list[Path]:
    """Return the paths that match a pattern, as "runs/*/shard-*", sorted."""
    if isinstance(pattern, RemotePath):
        return sorted(pattern.matching())
    return sorted(map(Path, glob(str(pattern), recursive=True)))


def publish(file: Path, path: Path) -> None:
    """Give a finished `file` of this machine the name `path`, at once: who reads `path` finds the old or the new."""
    if isinstance(path, RemotePath):
        remote.publish(file, path)
    else:
        file.replace(path)


def to_append(path: Path) -> Path:
    """Return the file of this machine to append to for `path`: itself, or a copy, stored by `appended`."""
    if not is_stored(path):
        return path
    here = new_file(path.name)
    if path.exists():
        shutil.copyfile(path, here)
    return here


def appended(here: Path, path: Path) -> None:
    """Store what was appended to the file from `to_append`; that of a path of this machine has it already."""
    if is_stored(path):
        publish(Path(shutil.copyfile(here, new_file(path.name))), path)


def bring(paths: Iterable[Path]) -> None:
    """Copy those of these files that lie in stores onto this machine, many at a time, before they are read."""
    remote.bring(paths)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it."""
    if isinstance(folder, RemotePath):
        folder.remove_all()
    else:
        shutil.rmtree(folder)


def ask_anew() -> None:
    """Forget what stores have answered within the last second, as a command begins."""
    recent.forget()
