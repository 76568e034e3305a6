"""The splits of data sets by name or path: which pictures are trained on, which evaluated."""

from collections.abc import Iterable
from pathlib import Path

from tgr_cli.data import folder, named, parquet
from tgr_cli.data.images import ImageSet, Split
from tgr_cli.data.loading import batches
from tgr_cli.data.source import (
    DEFAULT_ROOT,
    FOLDERS,
    NAMED,
    PARQUET,
    DataSource,
    class_names,
    known_names,
    only_one,
    split_folder,
)
from tgr_cli.errors import TgrError

__all__ = [
    "DEFAULT_ROOT",
    "FOLDERS",
    "NAMED",
    "PARQUET",
    "DataSource",
    "ImageSet",
    "Split",
    "batches",
    "class_names",
    "open_split",
]


def open_split(source: DataSource, split: Split) -> ImageSet:
    """Return the training or evaluation split, no picture decoded yet.

    Raises TgrError where it is missing (saying where it was looked for and how to get it), empty, damaged, or has a
    label out of range.
    """
    names = class_names(source)
    replacement = source.train_data if split == "train" else source.eval_data
    if replacement is not None:
        return _replacement(source, split, replacement, names)
    if source.path is None:
        return named.read(source.dataset, split, source.root, download=source.download, names=names)
    if source.dataset.startswith(PARQUET):
        return _parquet_split(source.path, source, split, names)
    return _folder_split(source.path, source, split, names)


def _replacement(source: DataSource, split: Split, path: Path, names: tuple[str, ...]) -> ImageSet:
    """Return what --train-data or --eval-data names, its classes matched with the data set's."""
    option = "--train-data" if split == "train" else "--eval-data"
    if not path.exists():
        raise TgrError(f"{option} {path} does not exist; name a Parquet file or a folder with one folder a class")
    known = known_names(source) or names
    used = f"{option} {path.name}"
    if path.is_dir():
        labels, labelled = _folder_labels(path, known, option)
        return folder.read(path, source.dataset, split, names, labels, f"{used} ({labelled})")
    found = parquet.classes(path) or known
    if len(found) != len(known):
        raise TgrError(
            f"{option} {path} has {len(found)} classes where {source.dataset} has {len(known)}; give another"
        )
    # Names of another kind (wnids for ImageNet's) are taken by position; one name at two places means other classes.
    ours = {_comparable(name): label for label, name in enumerate(known)}
    for label, name in enumerate(found):
        place = ours.get(_comparable(name), label)
        if place != label and _comparable(known[label]) != _comparable(name):
            raise TgrError(
                f'{option} {path} has the class "{name}" as {label}, {source.dataset} has it as {place}; '
                "write it with the classes in that order"
            )
    return parquet.read([path], source.dataset, split, names, used)


def _folder_labels(path: Path, known: tuple[str, ...], option: str) -> tuple[dict[str, int], str]:
    """Return each class folder's label, by its name where all are classes' names, else by position; and which."""
    found = folder.classes(path)
    by_name = {_comparable(name): label for label, name in enumerate(known)}
    if all(_comparable(name) in by_name for name in found):
        return {name: by_name[_comparable(name)] for name in found}, "labels by folder name"
    if len(found) != len(known):
        raise TgrError(
            f"{option} {path} holds {len(found)} folders for {len(known)} classes, and their names are not the "
            "classes'; name every folder after its class, or give one for each class in sorted order"
        )
    return {name: label for label, name in enumerate(found)}, "labels by sorted folder"


def _comparable(name: str) -> str:
    return name.replace("_", " ").casefold()


def _folder_split(path: Path, source: DataSource, split: Split, names: tuple[str, ...]) -> ImageSet:
    known = known_names(source)
    assert known is not None
    labels = {name: label for label, name in enumerate(known)}
    part = split_folder(path, split)
    if part is not None:
        return folder.read(part, source.dataset, split, names, labels, f"{path.resolve().name}/{part.name}")
    if split == "eval" and split_folder(path, "train") is None:
        return folder.read(path, source.dataset, split, names, labels, path.resolve().name)
    raise _no_split(source, split, path, [f"{word}/" for word in FOLDERS[split]])


def _parquet_split(path: Path, source: DataSource, split: Split, names: tuple[str, ...]) -> ImageSet:
    if path.is_file():
        if split == "eval":
            return parquet.read([path], source.dataset, split, names, path.name)
        raise _no_split(source, split, path, ["train*.parquet beside it"])
    groups = [files for word in FOLDERS[split] if (files := sorted(path.glob(f"{word}*.parquet")))]
    if not groups:
        raise _no_split(source, split, path, [f"{word}*.parquet" for word in FOLDERS[split]])
    only_one(path, [files[0] for files in groups])
    return parquet.read(groups[0], source.dataset, split, names, _listed(groups[0]))


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _no_split(source: DataSource, split: Split, path: Path, expected: list[str]) -> TgrError:
    word = "training" if split == "train" else "evaluation"
    return TgrError(
        f"{source.dataset} has no {word} split ({' or '.join(expected)} was looked for in {path}); "
        f"name one with --{split}-data"
    )
