"""Protects existing files: an output may only replace a file of the same kind written by tgr, and no input.

Everything is checked before a command starts, so that neither files nor hours of work are lost.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tgr_cli import documents
from tgr_cli.artifacts.provenance import PATH_PREFIXES
from tgr_cli.errors import TgrError, found_at
from tgr_cli.paths import is_stored, place, publish
from tgr_cli.storage.copies import new_file
from tgr_cli.storage.stores import scheme_of

METADATA_KEY = b"tgr"
ELSEWHERE = "write to another file with --out"
WRITTEN_TO = {"out", "png", "workdir", "data_root"}  # fields of configs that are not inputs
HEAD = 4096  # number of leading bytes searched for the mark of a page's or picture's author


def prepare(path: Path, kind: str = "", *read: object) -> Path:
    """Create the folder of an output of this kind and return its path; raises TgrError if it must not be written.

    Commands call it before they start. `kind` is an artifact's or one of OTHER_KINDS; "" is a file that may replace any
    other. `read` are the inputs: paths, or configs, of which all paths but those in WRITTEN_TO are inputs.
    """
    refuse_loss(path, kind, *read)
    _try_to_write(path)
    if kind:
        record = run_record(path)
        refuse_loss(record, "record", *read)
        _try_to_write(record)
    return path


def refuse_loss(path: Path, kind: str = "", *read: object) -> None:
    """Raise TgrError if writing `path` would replace an input, a file of another kind, or a special file."""
    _refuse_no_utf8(path)
    try:
        there = path.lstat()
    except OSError:  # nothing to lose; an unwritable place is reported when it is written to
        return
    if stat.S_ISLNK(there.st_mode):
        raise TgrError(f"{path} is a symbolic link, which the output would replace; name the file itself with --out")
    if not stat.S_ISREG(there.st_mode):
        raise TgrError(f"{path} {found_at(path)}, where a file is to be written; {ELSEWHERE}")
    if any(_is(named, there) for given in read for named in named_files(given)):
        raise TgrError(f"{path} is read, and the output would take its place; {ELSEWHERE}")
    if not kind or there.st_size == 0 or _recognised(path, kind):
        return
    found = artifact_kind(path)
    what = f'is an artifact of kind "{found}"' if found else "was not written by tgr, or is damaged"
    raise TgrError(f"{path} {what}, where {_called(kind)} is to be written; {ELSEWHERE}, or remove the file first")


def named_files(given: object) -> Iterator[Path]:
    """Yield the paths in a path, a sequence or the fields of a config, whether or not they exist."""
    if is_dataclass(given) and not isinstance(given, type):
        for field in fields(given):
            if field.name not in WRITTEN_TO:
                yield from named_files(getattr(given, field.name))
    elif isinstance(given, Path):
        yield given
    elif isinstance(given, str):
        prefix = next((prefix for prefix in PATH_PREFIXES if given.startswith(prefix)), "")
        named = given.removeprefix(prefix)
        yield place(named) if scheme_of(named) else Path(named)
    elif isinstance(given, Sequence):
        for item in given:
            yield from named_files(item)


def artifact_kind(path: Path) -> str:
    """Return the kind in a Parquet file's footer, or "" if it is not an artifact of tgr."""
    try:
        written = (pq.read_metadata(path).metadata or {}).get(METADATA_KEY, b"")
        return str(documents.parse_json(written)["kind"])
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError):
        return ""


def run_record(path: Path) -> Path:
    """Return the path of the run record of the artifact at `path`."""
    return path.with_name(f"{path.stem}.run.json")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Provide a temporary path, on this machine, that gets the name `path` on success and is removed on failure."""
    refuse_loss(path)
    temporary = _temporary(path)
    try:
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        publish(temporary, path)
    except OSError as error:
        raise TgrError(f"{path} could not be written ({error.strerror}); free the place and run again") from error
    finally:
        temporary.unlink(missing_ok=True)


def _try_to_write(path: Path) -> None:
    temporary = _temporary(path)
    if is_stored(path):
        attempt = path.with_name(f".{path.name}.{temporary.parent.name}.tmp")
        publish(temporary, attempt)
        attempt.unlink()
    temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """Return a new empty file from which `publish` can make `path`; raises TgrError if that fails.

    It is in the folder of `path`, which is created, or on this machine if that is in a store.
    """
    if is_stored(path):
        return new_file(path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        where = path if error.errno == errno.ENAMETOOLONG else path.parent
        raise TgrError(
            f"{where} cannot be written ({error.strerror}); choose another place with --workdir or --out"
        ) from error
    os.close(handle)
    return Path(name)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _refuse_no_utf8(path: Path) -> None:
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise TgrError(f"{path} has a name that is no UTF-8; rename it, or {ELSEWHERE}") from error


def _is(path: Path, there: os.stat_result) -> bool:
    """Return whether `path` is the same file as `there`, under any name or as a hard link."""
    try:
        return os.path.samestat(path.stat(), there)
    except (OSError, ValueError):
        return False


def _recognised(path: Path, kind: str) -> bool:
    return OTHER_KINDS[kind](path) if kind in OTHER_KINDS else artifact_kind(path) == kind


def _called(kind: str) -> str:
    return {
        "page": "a report",
        "picture": "a picture",
        "record": "its run record",
        "card": "a model's card",
        "weights": "a model",
        "answers": "a language model's answers",
        "junit": "a gate's verdict",
    }.get(kind, f'"{kind}"')


def _begins_with(*marks: bytes) -> Callable[[Path], bool]:
    def found(path: Path) -> bool:
        with path.open("rb") as file:
            head = file.read(HEAD)
        return all(mark in head for mark in marks)

    return found


def _is_json_with(*names: str) -> Callable[[Path], bool]:
    def found(path: Path) -> bool:
        try:
            value = documents.parse_json(documents.read_bytes(path))
        except documents.MalformedError:
            return False
        return isinstance(value, dict) and value.keys() >= set(names)

    return found


def _is_of_a_run(path: Path) -> bool:
    """Return whether a training wrote files beside `path`; weights themselves do not record their author."""
    state = path.with_name("checkpoint.pt").exists()
    return state or OTHER_KINDS["card"](path.with_name("model.json"))


# Files other than artifacts that tgr writes, and how each is recognised.
OTHER_KINDS: Mapping[str, Callable[[Path], Any]] = {
    "page": _begins_with(b'<meta name="generator" content="tgr '),
    "picture": _begins_with(b"\x89PNG", b"Software\0tgr"),
    "junit": _begins_with(b"<?xml", b'<testsuites name="tgr"'),
    "record": _is_json_with("artifact", "command", "host"),
    "card": _is_json_with("head", "fingerprint"),
    "weights": _is_of_a_run,
    "answers": _begins_with(b'{"answer": {'),
}
