"""Locks, so that one process at a time writes to a place; the OS releases them if the process dies."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tgr_cli.errors import TgrError
from tgr_cli.paths import is_stored, real

LOCK = ".lock"
_held: set[Path] = set()  # folders locked by this process, which makes the lock re-entrant


@contextmanager
def locked(file: Path, busy: str) -> Iterator[None]:
    """Lock by this file, or raise TgrError with the message `busy` at once; in a store there are no locks."""
    if is_stored(file):
        yield
        return
    try:
        lock = FileLock(file, blocking=False)
        lock.acquire()
    except Timeout as error:
        raise TgrError(busy) from error
    with lock:
        yield


@contextmanager
def exclusive(folder: Path, busy: str) -> Iterator[None]:
    """Create and lock `folder`; raise TgrError with the message `busy` at once if another process holds the lock.

    Folders that were created here and are empty at the end are removed. A folder in a store is neither created nor
    locked.
    """
    where = real(folder)
    if where in _held or is_stored(where):
        yield
        return
    made = [path for path in (where, *where.parents) if not path.exists()]
    try:
        where.mkdir(parents=True, exist_ok=True)
        lock = FileLock(where / LOCK)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TgrError(busy) from error
    except OSError as error:
        raise TgrError(
            f"{folder} cannot be written ({error.strerror}); choose another place with --workdir or --out"
        ) from error
    _held.add(where)
    try:
        yield
    finally:
        _held.discard(where)
        (where / LOCK).unlink(missing_ok=True)  # before the release: afterwards it may belong to another process
        lock.release()
        with suppress(OSError):
            for path in made:
                path.rmdir()
