"""Several files that take the place of older ones together: after a kill at any moment all of them do, or none.

They are written into a folder beside their places, which is renamed when it is whole: from then on they count, and
whoever finds that folder moves them to where they belong, as a database does with its log.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BEING_WRITTEN, WHOLE = ".ending.tmp", ".ending"


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """Give a folder to write into; when the block ends well, `complete` moves what it holds into `folder`."""
    abandon(folder)
    being_written = folder / BEING_WRITTEN
    being_written.mkdir()
    try:
        yield being_written
        being_written.rename(folder / WHOLE)
    finally:
        abandon(folder)


def complete(folder: Path, moves: Sequence[tuple[Path, Path]]) -> bool:
    """Move what `together` has written into place and return whether there was anything.

    `moves`: from where to where, in their order; a relative source lies in the folder that was given. What is not there
    any more was moved before the process was killed.
    """
    whole = folder / WHOLE
    if not whole.is_dir():
        return False
    for source, target in moves:
        if (whole / source).exists():
            (whole / source).replace(target)
    whole.rmdir()
    return True


def abandon(folder: Path) -> None:
    """Remove what a killed process left that had not written all of it."""
    shutil.rmtree(folder / BEING_WRITTEN, ignore_errors=True)
