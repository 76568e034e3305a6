"""Replaces several files atomically: after a kill at any moment all of them are new, or all are old.

New files are written into a folder beside their destinations. One more file in it, written last, commits them; whoever
finds it moves the files to their destinations, like a write-ahead log. That needs no folder to be renamed, which a
store cannot do at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tgr_cli.artifacts.outputs import replacing
from tgr_cli.paths import remove_folder

ENDING, COMMITTED = ".ending", "committed"  # the folder, and the file in it


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """Provide a folder to write into; when the block succeeds, it is committed for `complete`."""
    abandon(folder)
    being_written = folder / ENDING
    being_written.mkdir()
    try:
        yield being_written
        with replacing(being_written / COMMITTED):
            pass
    finally:
        abandon(folder)


def is_committed(folder: Path) -> bool:
    """Return whether `folder` holds committed files that `complete` has to move."""
    return (folder / ENDING / COMMITTED).is_file()


def complete(folder: Path, moves: Sequence[tuple[Path, Path]]) -> bool:
    """Move committed files to their destinations, and return whether there were any.

    `moves` are pairs of source and destination, in order; a relative source is in the committed folder. Missing sources
    were moved before the process was killed.
    """
    if not is_committed(folder):
        return False
    whole = folder / ENDING
    for source, target in moves:
        if (whole / source).exists():
            (whole / source).replace(target)
    (whole / COMMITTED).unlink()
    whole.rmdir()
    return True


def abandon(folder: Path) -> None:
    """Remove the uncommitted files of a killed process."""
    if not is_committed(folder) and (folder / ENDING).is_dir():
        remove_folder(folder / ENDING)
