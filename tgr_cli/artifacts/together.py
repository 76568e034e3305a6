"""Replaces several files atomically: after a kill at any moment all of them are new, or all are old.

New files are written into a folder beside their destinations. Renaming that folder commits them; whoever finds the
renamed folder moves the files to their destinations, like a write-ahead log.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BEING_WRITTEN, WHOLE = ".ending.tmp", ".ending"


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """Provide a folder to write into; when the block succeeds, it is committed for `complete`."""
    abandon(folder)
    being_written = folder / BEING_WRITTEN
    being_written.mkdir()
    try:
        yield being_written
        being_written.rename(folder / WHOLE)
    finally:
        abandon(folder)


def complete(folder: Path, moves: Sequence[tuple[Path, Path]]) -> bool:
    """Move committed files to their destinations, and return whether there were any.

    `moves` are pairs of source and destination, in order; a relative source is in the committed folder. Missing sources
    were moved before the process was killed.
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
    """Remove the uncommitted files of a killed process."""
    shutil.rmtree(folder / BEING_WRITTEN, ignore_errors=True)
