"""A lock on a folder, so that one process at a time writes to it; the OS releases it if the process dies."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tgr_cli.errors import TgrError
from tgr_cli.paths import real

LOCK = ".lock"
_held: set[Path] = set()  # folders locked by this process, which makes the lock re-entrant


@contextmanager
def exclusive(folder: Path, busy: str) -> Iterator[None]:
    """Create and lock `folder`; raise TgrError with the message `busy` at once if another process holds the lock.

    Folders that were created here and are empty at the end are removed.
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
        (where / LOCK).unlink(missing_ok=True)  # before the release: afterwards it may belong to another process
        lock.release()
        with suppress(OSError):
            for path in made:
                path.rmdir()
