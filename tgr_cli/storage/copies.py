"""Copies of stored files on this machine, for libraries that read files; removed when the process ends."""

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

VERSION = ("ETag", "etag", "generation", "mtime", "LastModified", "created")  # entries of fsspec's `info`
_versions: dict[str, str] = {}  # of the copies that are whole


@cache
def folder() -> Path:
    """Return the folder of this process's copies, and of files that are about to be stored."""
    made = Path(tempfile.mkdtemp(prefix="tgr-store-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def version_of(info: Mapping[str, Any]) -> str:
    """Return what tells two contents of one path apart, from what a store says of it."""
    known = next((str(info[name]) for name in VERSION if info.get(name)), "")
    return f"{known} {info.get('size')}"


def place(path: str) -> Path:
    """Return where the copy of a stored file lies, whether or not it is there; it has the file's name."""
    return folder() / sha256(path.encode()).hexdigest()[:24] / path.rpartition("/")[2]


def has(path: str) -> bool:
    """Return whether there is a whole copy of the version that the store was last seen to have."""
    return path in _versions


def keep(path: str, copy: Path, version: str) -> None:
    """Take the file at `copy` as the copy of this version of a stored file."""
    target = place(path)
    target.parent.mkdir(exist_ok=True)
    copy.replace(target)
    _versions[path] = version


def drop(path: str) -> None:
    """Remove the copy of a stored file, if there is one; who has opened it reads on."""
    if _versions.pop(path, None) is not None:
        place(path).unlink(missing_ok=True)


def drop_unless(path: str, version: str) -> None:
    """Remove the copy of a stored file if it is of another version."""
    if _versions.get(path, version) != version:
        drop(path)


def new_file(name: str) -> Path:
    """Return a new empty file on this machine, to be filled and then kept or stored."""
    made = Path(tempfile.mkdtemp(dir=folder())) / name
    made.touch()
    return made
