"""What of a data set is not there, found out without opening a picture or loading torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tgr_cli.data import folder_layout, named, parquet_files
from tgr_cli.data.images import Split
from tgr_cli.data.source import PARQUET, DataSource
from tgr_cli.errors import found_at


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A split that is not there: the paths tried, what is expected at one of them, and the ways around.

    `what` says which split in words, `ways` are options as they are typed, with what each is for.
    """

    split: Split
    what: str
    tried: tuple[Path, ...]
    expected: str
    ways: tuple[str, ...]


def missing(source: DataSource, splits: Iterable[Split]) -> tuple[Missing, ...]:
    """Return those of `splits` that are not there, in their order; () where opening them can be tried.

    Only names of files and folders are looked at: whether the content is sound is found out by `open_split`.
    Raises TgrError where a folder can be read in two ways.
    """
    found = (_missing(source, split) for split in splits)
    return tuple(one for one in found if one is not None)


def has_split(source: DataSource, split: Split) -> bool:
    """Return whether the split is there, or will be downloaded."""
    return not missing(source, (split,))


def _missing(source: DataSource, split: Split) -> Missing | None:
    word = "training" if split == "train" else "evaluation"
    replacement = source.train_data if split == "train" else source.eval_data
    instead = f"--{split}-data PATH: a Parquet file, or a folder with a folder of images for each class"
    if replacement is not None:
        if replacement.is_file() or replacement.is_dir():
            return None
        return Missing(
            split=split,
            what=f"the {word} images: --{split}-data {replacement} {found_at(replacement)}",
            tried=(replacement,),
            expected="a Parquet file, or a folder with a folder of images for each class",
            ways=(instead,),
        )
    if source.path is not None:
        return None if _path_has(source, source.path, split) else _of_path(source, source.path, split, word, instead)
    tried, there = _named_places(source, split)
    if there or (source.download and source.dataset != "imagenet"):
        return None
    ways = ["--data-root FOLDER or TGR_DATA: the folder that holds the named data sets"]
    if source.dataset == "imagenet":
        expected = f"a folder of images for each of its {named.class_count('imagenet'):,} classes (n01440764, …)"
    else:
        expected = "torchvision's files"
        ways.append("--download: get it from where torchvision does")
    others = "--dataset imagefolder:PATH or parquet:PATH: a data set of your own"
    return Missing(
        split=split,
        what=f"the {word} images of {source.dataset}",
        tried=tried,
        expected=expected,
        ways=(*ways, instead, others),
    )


def _named_places(source: DataSource, split: Split) -> tuple[tuple[Path, ...], bool]:
    """Return where a named data set's split is looked for, and whether it is there."""
    place = named.place(source.dataset, source.root)
    if place is None:
        return (), True
    if source.dataset != "imagenet":
        return (place,), place.is_dir()
    return (place / ("train" if split == "train" else "val"),), bool(named.imagenet_split(split, source.root))


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


def _of_path(source: DataSource, path: Path, split: Split, word: str, instead: str) -> Missing:
    names = "train" if split == "train" else "val or test"
    if source.dataset.startswith(PARQUET):
        expected = f"{names}*.parquet in a folder" + (", or one Parquet file" if split == "eval" else "")
    else:
        expected = f"a folder {names} with a folder of images for each class"
    state = "" if path.is_file() or path.is_dir() else f": {path} {found_at(path)}"
    return Missing(
        split=split,
        what=f"the {word} images of {source.dataset}{state}",
        tried=(path,),
        expected=expected,
        ways=(instead,),
    )
