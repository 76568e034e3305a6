"""Assigning the Parquet files of a folder to splits, and grouping the shards of one table."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tgr_cli.data import split_names
from tgr_cli.data.images import Split
from tgr_cli.data.split_names import Word
from tgr_cli.errors import TgrError, found_at
from tgr_cli.naming import listed

SUFFIXES = (".parquet", ".parq", ".pq")
_DEEPEST = 3  # nesting levels between the given folder and a file, such as default/train/0000.parquet
_PART_OF = re.compile(r"\d+-of-0*(\d+)")
# The varying parts of shard names: numbers, and the hash that the Hugging Face tools append.
_OF_PART = re.compile(r"(?<=[0-9])-[0-9a-f]{16}(?=\.)|[0-9]+")

Parts = tuple[Path, ...]


@dataclass(frozen=True)
class Files:
    """A data set's files: candidate tables for each split, each a list of shards.

    `alone` holds the shards of a table that belongs to no split: a single file, or a folder with only one table.
    """

    splits: dict[Word, list[Parts]]
    alone: Parts = ()
    notes: tuple[str, ...] = ()

    def tables(self, split: Split) -> list[Parts]:
        """Return the tables that may be this split; with several the user must choose."""
        return [parts for word in split_names.WORDS[split] for parts in self.splits.get(word, ())]

    def every(self) -> list[Parts]:
        """Return all tables, training tables first."""
        return [*self.tables("train"), *self.tables("eval"), *([self.alone] if self.alone else [])]


def of(path: Path) -> Files:
    """Return the files of a Parquet data set: `path` itself, or the files in that folder and up to three levels below.

    A file belongs to the split in its name (`train-00000-of-00002.parquet`), or in its folder's name
    (`train/0000.parquet`). Raises TgrError where there is no file, or several that belong to no split.
    """
    if path.is_file():
        return Files({}, (path,))
    if not path.is_dir():
        raise TgrError(
            f"{path} {found_at(path)}; name a Parquet file, or a folder with train*.parquet and val*.parquet in it"
        )
    found = [file for file in _below(path) if file.suffix.lower() in SUFFIXES]
    if not found:
        raise TgrError(f"{path} holds no .parquet file; name a Parquet file, or a folder with such files in it")
    words = {file: _word(path, file) for file in found}
    splits: dict[Word, list[Parts]] = {}
    for word in dict.fromkeys(word for word in words.values() if word is not None):
        splits[word] = _tables([file for file, its in words.items() if its == word])
    others = [file for file, word in words.items() if word is None]
    if splits:
        return Files(splits, (), (*_left_out(path, others), *_incomplete(splits)))
    tables = _tables(others)
    if len(tables) > 1:
        raise TgrError(
            f"{path} holds {listed(file.relative_to(path).as_posix() for file in others)}, none called after a split; "
            "name one file, or call them train*.parquet, val*.parquet or test*.parquet"
        )
    return Files({}, tables[0])


def _below(path: Path) -> list[Path]:
    """Return the visible files below `path` in natural order (numbers in names by value)."""
    found = []
    for depth in range(_DEEPEST + 1):
        for file in path.glob("*/" * depth + "*"):
            if not any(part.startswith((".", "_")) for part in file.relative_to(path).parts) and file.is_file():
                found.append(file)
    return sorted(found, key=_by_value)


def _by_value(path: Path) -> list[tuple[str, int]]:
    return [(text, int(number or 0)) for text, number in re.findall(r"([^0-9]*)([0-9]*)", str(path))]


def _word(path: Path, file: Path) -> Word | None:
    names = [file.stem, *(folder.name for folder in file.relative_to(path).parents)]
    return next((word for name in names if (word := split_names.of_file(name)) is not None), None)


def _tables(files: list[Path]) -> list[Parts]:
    """Group files into tables: files whose names differ only in numbers, or in a hash, are shards of one table."""
    tables: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for file in files:
        tables[file.parent, _OF_PART.sub("#", file.name)].append(file)
    return [tuple(parts) for parts in tables.values()]


def _left_out(path: Path, others: list[Path]) -> list[str]:
    if not others:
        return []
    return [f"{path}: {listed(file.relative_to(path).as_posix() for file in others)} is of no split and left out"]


def _incomplete(splits: dict[Word, list[Parts]]) -> list[str]:
    """Return a note for each table with missing shards, judged by their names (`-00000-of-00002`)."""
    notes = []
    for parts in (parts for tables in splits.values() for parts in tables):
        of = _PART_OF.search(parts[0].name)
        if of is not None and int(of[1]) > len(parts):
            notes.append(f"{parts[0].parent}: {len(parts)} of {int(of[1]):,} parts of {parts[0].name} are there")
    return notes
