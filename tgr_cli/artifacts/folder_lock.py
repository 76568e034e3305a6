"""One process at a time writes a folder; the system gives back the lock of a process that is killed."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tgr_cli.errors import TgrError
from tgr_cli.paths import real

LOCK = ".lock"
_held: set[Path] = set()  # what this process holds, so that a function may ask for what its caller has


@contextmanager
def exclusive(folder: Path, busy: str) -> Iterator[None]:
    """Make `folder` and hold it for this process, or raise TgrError with the sentence `busy` at once.

    Folders that were made for it and are still empty in the end are removed.
    """
    where = real(folder)
    if where in _held:
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
        (where / LOCK).unlink(missing_ok=True)  # while it is held: afterwards it could be another process's
        lock.release()
        with suppress(OSError):
            for path in made:
                path.rmdir()
