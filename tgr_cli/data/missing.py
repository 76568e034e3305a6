"""Missing parts of a data set, found without opening an image or importing torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tgr_cli.data import built_in, folder_layout, parquet_files
from tgr_cli.data.images import Split
from tgr_cli.data.source import PARQUET, DataSource
from tgr_cli.errors import found_at


@dataclass(frozen=True, kw_only=True)
class MissingSplit:
    """A missing split: the paths tried, what is expected at one of them, and the options that help.

    `source` names the data set or the option given, `state` describes what exists at its path instead, if anything, and
    `ways` are options as typed on the command line.
    """

    split: Split
    source: str
    state: str
    tried: tuple[Path, ...]
    expected: str
    ways: tuple[str, ...]


def missing(source: DataSource, splits: Iterable[Split]) -> tuple[MissingSplit, ...]:
    """Return those of `splits` that are missing, in their order; () if all of them can be opened.

    Looks at file and folder names only; `open_split` checks the content. Raises TgrError where a folder's layout is
    ambiguous.
    """
    found = (_missing(source, split) for split in splits)
    return tuple(one for one in found if one is not None)


def has_split(source: DataSource, split: Split) -> bool:
    """Return whether the split exists, or will be downloaded."""
    return not missing(source, (split,))


def _missing(source: DataSource, split: Split) -> MissingSplit | None:
    if source.given is not None:
        return (
            None
            if split == "eval" or source.given.train
            else MissingSplit(
                split=split,
                source=source.dataset,
                state="was given without it",
                tried=(),
                expected="images with their labels",
                ways=(f"--{split}",),
            )
        )
    replacement = source.train_data if split == "train" else source.eval_data
    instead = f"--{split}-data PATH"
    if replacement is not None:
        if replacement.is_file() or replacement.is_dir():
            return None
        return MissingSplit(
            split=split,
            source=f"--{split}-data {replacement}",
            state=found_at(replacement),
            tried=(replacement,),
            expected="a Parquet file, or a folder with a folder of images for each class",
            ways=(instead,),
        )
    if source.path is not None:
        return None if _path_has(source, source.path, split) else _of_path(source, source.path, split, instead)
    tried, there = _named_places(source, split)
    if there or (source.download and source.dataset != "imagenet"):
        return None
    ways = ["--data-root FOLDER"]
    if source.dataset == "imagenet":
        expected = "a folder of images for each class: n01440764, …"
    else:
        expected = "torchvision's files"
        ways.append("--download")
    return MissingSplit(
        split=split,
        source=source.dataset,
        state="",
        tried=tried,
        expected=expected,
        ways=(*ways, instead, "--dataset imagefolder:PATH or parquet:PATH"),
    )


def _named_places(source: DataSource, split: Split) -> tuple[tuple[Path, ...], bool]:
    """Return the paths searched for a named data set's split, and whether it was found."""
    place = built_in.place(source.dataset, source.root)
    if place is None:
        return (), True
    if source.dataset != "imagenet":
        return (place,), place.is_dir()
    return (place / ("train" if split == "train" else "val"),), bool(built_in.imagenet_split(split, source.root))


def _path_has(source: DataSource, path: Path, split: Split) -> bool:
    if source.dataset.startswith(PARQUET):
        if not path.is_file() and not path.is_dir():
            return False
        files = parquet_files.of(path)
        return bool(files.tables(split)) or (split == "eval" and bool(files.alone))
    if not path.is_dir():
        return False
    layout = folder_layout.of(path)
    return bool(layout.folders(split)) or (split == "eval" and not layout.splits)


def _of_path(source: DataSource, path: Path, split: Split, instead: str) -> MissingSplit:
    names = "train" if split == "train" else "val or test"
    if source.dataset.startswith(PARQUET):
        expected = f"a folder with {names}*.parquet" + (", or one Parquet file" if split == "eval" else "")
    else:
        expected = f"a folder {names} with a folder of images for each class"
    return MissingSplit(
        split=split,
        source=source.dataset,
        state="" if path.is_file() or path.is_dir() else found_at(path),
        tried=(path,),
        expected=expected,
        ways=(instead,),
    )
