"""Paths in a store, such as s3://bucket/run, that code for `pathlib.Path` works with.

Names are computed as pathlib does it (`parent`, `/`, `with_stem`). What exists is asked of the store each time. Whoever
opens such a file, or hands its path to a library, gets a copy on this machine. Only `publish` writes, and whole files.
"""

import errno
import io
import os
import stat
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from glob import escape
from hashlib import sha256
from pathlib import Path, PosixPath
from typing import IO, Any

from tgr_cli.errors import TgrError
from tgr_cli.storage import copies, recent
from tgr_cli.storage.stores import STORES, WRITTEN, asking, file_system

IS_A_FOLDER = (
    "{} is a folder in a store, where tgr needs its files on this machine; copy the folder here, and name the copy"
)

_buckets: set[tuple[str, str]] = set()  # schemes and names of those that were found


class RemotePath(PosixPath):
    """The path of a file or folder in a store; it has no state but its text."""

    __slots__ = ()

    def __str__(self) -> str:
        scheme, _, rest = super().__str__().partition(":")  # pathlib writes s3:/bucket
        return f"{scheme}://{rest.lstrip('/')}"

    def __truediv__(self, key: Any) -> "RemotePath":
        """Return the path below this one; a stored path stands for itself, as an absolute one does in pathlib."""
        return key if isinstance(key, RemotePath) else super().__truediv__(key)

    def relative_to(self, *other: Any, **how: Any) -> Path:  # type: ignore[override]  # what is relative is in no store
        return Path(*super().relative_to(*other, **how).parts)

    @property
    def scheme(self) -> str:
        return self.parts[0].removesuffix(":").lower()

    @property
    def key(self) -> str:
        """Return the path within the store, bucket first."""
        return "/".join(self.parts[1:])

    @property
    def files(self) -> Any:
        """Return fsspec's file system of this path."""
        return file_system(self.scheme)

    def asking(self, what: str) -> Any:
        """Context manager: raise TgrError where the store fails while `what` is done to this path, such as "read"."""
        return asking(self, self.scheme, what)

    def info(self) -> dict[str, Any]:
        """Return what the store says of this path; raises FileNotFoundError, and TgrError where the bucket is missing.

        A copy of another version is dropped.
        """
        found: dict[str, Any] | None = recent.answer("info", self, self._ask)
        if found is None:
            copies.drop(str(self))
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        copies.drop_unless(str(self), copies.version_of(found))
        return found

    def _ask(self) -> dict[str, Any] | None:
        try:
            with self.asking("read"):
                return dict(self.files.info(self.key))
        except FileNotFoundError:
            self._refuse_no_bucket()
            return None

    def _refuse_no_bucket(self) -> None:
        bucket = self.parts[1] if len(self.parts) > 1 else ""
        if (self.scheme, bucket) in _buckets or not STORES[self.scheme].buckets:
            return
        try:
            with self.asking("read"):
                self.files.info(bucket)
        except FileNotFoundError as error:
            raise TgrError(f"{self} lies in no bucket: {bucket} does not exist; make it, or name another") from error
        except TgrError as error:
            if not isinstance(error.__cause__, PermissionError):  # some may read objects, and not ask for the bucket
                raise
        _buckets.add((self.scheme, bucket))

    def _kind(self) -> str | None:
        try:
            return str(self.info()["type"])
        except FileNotFoundError:
            return None

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        found = self.info()
        mode = stat.S_IFDIR | 0o777 if found["type"] == "directory" else stat.S_IFREG | 0o666
        number = int(sha256(str(self).encode()).hexdigest()[:15], 16)
        version = int(sha256(copies.version_of(found).encode()).hexdigest()[:15], 16)
        of_time = {"st_mtime_ns": version}  # not a time, but another one for another version
        return os.stat_result((mode, number, 0, 1, 0, 0, found["size"] or 0, 0, 0, 0), of_time)

    def lstat(self) -> os.stat_result:
        return self.stat()

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        return self._kind() is not None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._kind() == "file"

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._kind() == "directory"

    def is_symlink(self) -> bool:
        return False

    def absolute(self) -> "RemotePath":
        return self

    def resolve(self, strict: bool = False) -> "RemotePath":
        return self

    def expanduser(self) -> "RemotePath":
        return self

    def iterdir(self) -> Generator["RemotePath", None, None]:
        self.info()  # which raises where there is none
        yield from (path for path in self.glob("*") if path != self)  # a store may list a mark of the folder itself

    def glob(  # type: ignore[override]  # Python 3.12 has more arguments
        self, pattern: str, **how: Any
    ) -> Iterator["RemotePath"]:
        yield from RemotePath(f"{self.parts[0]}//{escape(self.key)}/{pattern}").matching()

    def matching(self) -> list["RemotePath"]:
        """Return the paths that this one matches, as a pattern."""
        found: dict[str, dict[str, Any]] = recent.answer("which match", self, self._ask_which_match)
        for key, info in found.items():
            recent.keep("info", self._at(key), info)
        return list(map(self._at, found))

    def _ask_which_match(self) -> dict[str, dict[str, Any]]:
        try:
            with self.asking("listed"):
                return dict(self.files.glob(self.key, detail=True))
        except FileNotFoundError:
            self._refuse_no_bucket()
            return {}

    def rglob(  # type: ignore[override]  # Python 3.12 has more arguments
        self, pattern: str, **how: Any
    ) -> Iterator["RemotePath"]:
        yield from self.glob(f"**/{pattern}")

    def _at(self, key: str) -> "RemotePath":
        return RemotePath(f"{self.parts[0]}//{key}")

    def __fspath__(self) -> str:
        if not copies.has(str(self)):
            self.info()  # which raises where there is none
            bring([self])
        return str(copies.place(str(self)))

    def open(  # type: ignore[override]  # only for reading
        self, mode: str = "r", *rest: Any, **how: Any
    ) -> IO[Any]:
        assert not set(mode) & set("wax+"), f"{self} is written with `publish`, not opened with {mode}"
        return io.open(self.__fspath__(), mode, *rest, **how)  # noqa: UP020

    def unlink(self, missing_ok: bool = False) -> None:
        _forget(self)
        try:
            with self.asking("removed"):
                self.files.rm_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def replace(self, target: Any) -> "RemotePath":
        """Copy this file to `target` within the store, then remove it: `target` is whole at every moment."""
        _forget(self, target)
        with self.asking("moved"):
            _move(self.files, self.key, target.key)
        return RemotePath(target)

    rename = replace

    def remove_all(self) -> None:
        """Remove this folder with all that is in it; nothing is done if it is not there."""
        recent.forget()
        with suppress(FileNotFoundError), self.asking("removed"):
            self.files.rm(escape(self.key), recursive=True)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder in a store is there as soon as a file is in it."""

    def rmdir(self) -> None:
        """Do nothing: a folder in a store is gone with its last file."""


def bring(paths: Iterable[Path]) -> None:
    """Copy those files of `paths` that are there, in a store, onto this machine, many at a time where the store can.

    Raises TgrError for a folder.
    """
    missing = [path for path in paths if isinstance(path, RemotePath) and not copies.has(str(path))]
    for folder in dict.fromkeys(path.parent for path in missing if len(missing) > 1):
        list(folder.iterdir())  # one question for all files of a folder
    found = {path: path.info() for path in missing if path.exists()}
    for scheme in {path.scheme for path in found}:
        wanted = {path: copies.new_file(path.name) for path in found if path.scheme == scheme}
        for path in wanted:
            if found[path]["type"] == "directory":
                raise TgrError(IS_A_FOLDER.format(path))
        with asking(next(iter(wanted)), scheme, "read"):
            file_system(scheme).get([path.key for path in wanted], list(map(str, wanted.values())))
        for path, copy in wanted.items():
            copies.keep(str(path), copy, copies.version_of(found[path]))


def publish(file: Path, path: RemotePath) -> None:
    """Store the file of this machine as `path`, whole or not at all; it becomes the copy of `path`.

    Where puts are whole, as in S3, one replaces what is there at once; elsewhere the file is stored under another name
    and copied. Equal bytes may be stored twice: two writers of one part do no harm.
    """
    store, files = STORES[path.scheme], path.files
    _forget(path)
    with path.asking(WRITTEN):
        if store.whole_puts:
            files.put_file(str(file), path.key)
        else:
            hidden = str(path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp").key)
            files.put_file(str(file), hidden)
            _move(files, hidden, path.key)
        found = files.info(path.key)
    copies.keep(str(path), file, copies.version_of(found))
    recent.keep("info", path, found)


def _move(files: Any, source: str, target: str) -> None:
    files.cp_file(source, target)  # not `mv`, which takes names for patterns
    files.rm_file(source)


def _forget(*changed: Path) -> None:
    recent.forget()
    for path in changed:
        copies.drop(str(path))
