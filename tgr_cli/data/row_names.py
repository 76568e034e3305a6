"""Matching the rows of a stored matrix to a data set's classes, by row number or by row name."""

from collections.abc import Sequence
from pathlib import Path

from tgr_cli import documents
from tgr_cli.data import built_in
from tgr_cli.data.built_in import imagenet_wnids
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.naming import Spellings
from tgr_cli.paths import place


def by_number(file: Path, rows: int, classes: int) -> list[int]:
    """Return the row number of each class, in class order, read from a text file with one number per line, from 0.

    Raises TgrError where a line is not an integer, a number is not below `rows`, or the count is not that of the
    classes.
    """
    picked = []
    for number, line in enumerate(_lines(file, "row number"), start=1):
        if line.strip():
            if not (line.strip().isascii() and line.strip().isdigit()):
                raise TgrError(
                    f'{file}, line {number}: "{line.strip()[:40]}" is no row number; write one a line, from 0'
                )
            picked.append(int(line))
    outside = [row for row in picked if row >= rows]
    if outside:
        raise TgrError(f"{file} asks for row {outside[0]} of a matrix that has {rows}, counted from 0")
    if len(picked) != classes:
        raise TgrError(f"{file} picks {len(picked)} rows for {classes} classes; write one row number a class")
    return picked


def by_name(row_names: str, rows: int, classes: Sequence[str]) -> list[int]:
    """Return the row number of each class, matched by name regardless of spelling (`naming.comparable`).

    `row_names` is a data set whose classes the rows are (imagenet: by name or wnid), or a text file with one name per
    line. Raises TgrError where it is neither, counts differ, or a class matches no row or several.
    """
    called = _called(row_names)
    if len(called) != rows:
        raise TgrError(f"--row-names {row_names} names {len(called)} rows, the matrix has {rows}; name every row")
    known = Spellings((name, row) for row, names in enumerate(called) for name in names)
    found = [known.places(name) for name in classes]
    missing = [name for name, at in zip(classes, found, strict=True) if not at]
    if missing:
        more = f" and {len(missing) - 1} more classes are" if len(missing) > 1 else " is"
        raise TgrError(f'"{missing[0]}"{more} no row\'s name by --row-names {row_names}; pick rows with --rows FILE')
    for name, at in zip(classes, found, strict=True):
        if len(at) > 1:
            raise TgrError(
                f'"{name}" is the name of rows {" and ".join(map(str, at))}; pick rows by number with --rows FILE'
            )
    return [at[0] for at in found]


def _called(row_names: str) -> list[tuple[str, ...]]:
    """Return the accepted names of each row."""
    if row_names == "imagenet":
        return list(zip(built_in.class_names("imagenet"), imagenet_wnids(), strict=True))
    if row_names in built_in.NAMES:
        return [(name,) for name in built_in.class_names(row_names)]
    if not place(row_names).is_file():
        raise TgrError(
            f'--row-names "{row_names}" is neither a file nor one of {", ".join(built_in.NAMES)}.'
            f"{did_you_mean(row_names, built_in.NAMES)}"
        )
    return [(line.strip(),) for line in _lines(place(row_names), "class name")]


def _lines(file: Path, what: str) -> list[str]:
    return documents.read_text(file, f"give a text file with one {what} a line").splitlines()
