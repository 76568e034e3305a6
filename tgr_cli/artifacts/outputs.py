"""What an output may take the place of: nothing, or what tgr wrote there of the same kind, unless it is an input.

Everything is checked before a command works, so that neither a file nor an hour's campaign is lost.
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

METADATA_KEY = b"tgr"
ELSEWHERE = "write to another file with --out"
WRITTEN_TO = {"out", "png", "workdir", "data_root"}  # fields of configs that name no input
HEAD = 4096  # bytes of a file in which a page or picture says who made it


def prepare(path: Path, kind: str = "", *read: object) -> Path:
    """Make the folder of an output of this kind and return its path; raises TgrError where it must not be written.

    Steps call it before they work. `kind` is an artifact's, or one of OTHER_KINDS; "" stands for a file that may
    replace any other. `read` are the inputs: paths, or configs, whose paths are all inputs but those in WRITTEN_TO.
    """
    refuse_loss(path, kind, *read)
    _try_to_write(path)
    if kind:
        record = run_record(path)
        refuse_loss(record, "record", *read)
        _try_to_write(record)
    return path


def refuse_loss(path: Path, kind: str = "", *read: object) -> None:
    """Raise TgrError where writing `path` would replace an input, another kind of file, or what is no regular file."""
    _refuse_no_utf8(path)
    try:
        there = path.lstat()
    except OSError:  # there is nothing; where there can be nothing either, that is told when it is tried
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
    """Give the files that a path, or a config in any of its fields, names, whether or not they exist."""
    if is_dataclass(given) and not isinstance(given, type):
        for field in fields(given):
            if field.name not in WRITTEN_TO:
                yield from named_files(getattr(given, field.name))
    elif isinstance(given, Path):
        yield given
    elif isinstance(given, str):
        prefix = next((prefix for prefix in PATH_PREFIXES if given.startswith(prefix)), "")
        yield Path(given.removeprefix(prefix))
    elif isinstance(given, Sequence):
        for item in given:
            yield from named_files(item)


def artifact_kind(path: Path) -> str:
    """Return the kind that a Parquet file's footer claims, "" where it is no artifact of tgr."""
    try:
        written = (pq.read_metadata(path).metadata or {}).get(METADATA_KEY, b"")
        return str(documents.parse_json(written)["kind"])
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError):
        return ""


def run_record(path: Path) -> Path:
    """Return where the run record of the artifact at `path` lies."""
    return path.with_name(f"{path.stem}.run.json")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, remove it otherwise."""
    refuse_loss(path)
    temporary = _temporary(path)
    try:
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise TgrError(f"{path} could not be written ({error.strerror}); free the place and run again") from error
    finally:
        temporary.unlink(missing_ok=True)


def _try_to_write(path: Path) -> None:
    _temporary(path).unlink()


def _temporary(path: Path) -> Path:
    """Return a new empty file beside `path`, whose folder is made; raises TgrError where there can be none."""
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
    """Return whether `path` is the very file of `there`: by whatever name, or as a hard link."""
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
    """Return whether a training has written beside `path`: weights themselves do not say who made them."""
    state = path.with_name("checkpoint.pt").exists()
    return state or OTHER_KINDS["card"](path.with_name("model.json"))


# What tgr writes beside its artifacts, and how a file shows that it is one.
OTHER_KINDS: Mapping[str, Callable[[Path], Any]] = {
    "page": _begins_with(b'<meta name="generator" content="tgr '),
    "picture": _begins_with(b"\x89PNG", b"Software\0tgr"),
    "record": _is_json_with("artifact", "command", "host"),
    "card": _is_json_with("head", "fingerprint"),
    "weights": _is_of_a_run,
    "answers": _begins_with(b'{"answer": {'),
}
