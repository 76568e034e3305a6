"""Data sets by name or path: which pictures are trained on, which evaluated, and what their classes are called."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tgr_cli.artifacts.layout import slug
from tgr_cli.data import folder, named, parquet
from tgr_cli.data.images import ImageSet, Split
from tgr_cli.data.loading import batches
from tgr_cli.errors import TgrError, did_you_mean

__all__ = ["NAMED", "DataSource", "ImageSet", "Split", "batches", "class_names", "open_split"]

NAMED = named.NAMES
DEFAULT_ROOT = Path("data")
IMAGEFOLDER, PARQUET = "imagefolder:", "parquet:"
FOLDERS = {"train": ("train",), "eval": ("val", "test")}


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Which data set, where it lies, and what replaces parts of it.

    `dataset` is one of NAMED, imagefolder:PATH or parquet:PATH. `train_data` and `eval_data` (a Parquet file or a
    folder of class folders) stand in for a split, `class_names` (a text file, one name a line) for the names.
    """

    dataset: str = "imagenet"
    data_root: Path | None = None
    download: bool = False
    train_data: Path | None = None
    eval_data: Path | None = None
    class_names: Path | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.dataset in NAMED or self.path is not None:
            return
        here = Path(self.dataset).exists()
        hint = f' To use a path, write "{IMAGEFOLDER}{self.dataset}" or "{PARQUET}{self.dataset}".' if here else ""
        raise TgrError(
            f'there is no data set "{self.dataset}"; use {", ".join(NAMED)}, {IMAGEFOLDER}PATH or {PARQUET}PATH.'
            + (hint or did_you_mean(self.dataset, NAMED))
        )

    @property
    def path(self) -> Path | None:
        """Return the path of an imagefolder: or parquet: data set, None for a named one."""
        for prefix in (IMAGEFOLDER, PARQUET):
            if self.dataset.startswith(prefix) and self.dataset != prefix:
                return Path(self.dataset.removeprefix(prefix)).expanduser()
        return None

    @property
    def root(self) -> Path:
        """Return the folder that holds the named data sets."""
        return self.data_root or DEFAULT_ROOT

    @property
    def folder(self) -> str:
        """Return the name of the data set's folder in the workdir."""
        if self.name is not None:
            return self.name
        return self.dataset if self.path is None else slug(self.path.resolve().name.removesuffix(".parquet"))


def class_names(source: DataSource) -> tuple[str, ...]:
    """Return the names of the classes in the order of the labels; no picture is read.

    Raises TgrError where a data set given by its path is missing or names no classes, or `source.class_names` does
    not fit.
    """
    known = _known_names(source)
    if source.class_names is None:
        if known is None:
            raise TgrError(
                f'{source.dataset} names no classes in its metadata "classes"; give them with --class-names FILE'
            )
        return known
    try:
        lines = source.class_names.read_text(encoding="utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TgrError(
            f"--class-names {source.class_names} cannot be read as text; give a file with one class name a line"
        ) from error
    names = tuple(line.strip() for line in lines)
    if not names:
        raise TgrError(f"{source.class_names} is empty; give one class name a line")
    if not all(names):
        raise TgrError(f"{source.class_names} has an empty line {names.index('') + 1}; give one class name a line")
    if known is not None and len(names) != len(known):
        raise TgrError(
            f"{source.class_names} has {len(names)} names where {source.dataset} has {len(known)} classes; "
            "give one class name a line"
        )
    return names


def _known_names(source: DataSource) -> tuple[str, ...] | None:
    """Return the names the data set itself gives its classes, None for Parquet files that name none."""
    if source.path is None:
        return named.class_names(source.dataset)
    if source.dataset.startswith(IMAGEFOLDER):
        return folder.classes(_split_folder(source.path, "train") or _split_folder(source.path, "eval") or source.path)
    found = {path: parquet.classes(path) for path in _parquet_files(source.path)}
    first = next(iter(found))
    for path, names in found.items():
        if names != found[first]:
            raise TgrError(f"{path} and {first} name different classes; give one data set's files only")
    return found[first]


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
    known = _known_names(source) or names
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
    known = _known_names(source)
    assert known is not None
    labels = {name: label for label, name in enumerate(known)}
    part = _split_folder(path, split)
    if part is not None:
        return folder.read(part, source.dataset, split, names, labels, f"{path.resolve().name}/{part.name}")
    if split == "eval" and _split_folder(path, "train") is None:
        return folder.read(path, source.dataset, split, names, labels, path.resolve().name)
    raise _no_split(source, split, path, [f"{word}/" for word in FOLDERS[split]])


def _split_folder(path: Path, split: Split) -> Path | None:
    if not path.is_dir():
        raise TgrError(f"{path} is not a folder; name one that holds train/ and val/, or a folder of images a class")
    return _only_one(path, [path / word for word in FOLDERS[split] if (path / word).is_dir()])


def _only_one(path: Path, found: list[Path]) -> Path | None:
    if len(found) > 1:
        both = " and ".join(sorted(part.name for part in found))
        raise TgrError(f"{path} holds both {both}, and either could be evaluated; choose with --eval-data")
    return found[0] if found else None


def _parquet_split(path: Path, source: DataSource, split: Split, names: tuple[str, ...]) -> ImageSet:
    if path.is_file():
        if split == "eval":
            return parquet.read([path], source.dataset, split, names, path.name)
        raise _no_split(source, split, path, ["train*.parquet beside it"])
    groups = [files for word in FOLDERS[split] if (files := sorted(path.glob(f"{word}*.parquet")))]
    if not groups:
        raise _no_split(source, split, path, [f"{word}*.parquet" for word in FOLDERS[split]])
    _only_one(path, [files[0] for files in groups])
    return parquet.read(groups[0], source.dataset, split, names, _listed(groups[0]))


def _parquet_files(path: Path) -> list[Path]:
    """Return the file, or the folder's files that belong to a split."""
    if path.is_file():
        return [path]
    found = [file for words in FOLDERS.values() for word in words for file in sorted(path.glob(f"{word}*.parquet"))]
    if not found:
        raise TgrError(
            f"{path} holds no train*.parquet, val*.parquet or test*.parquet; name such a folder, or one Parquet file"
            if path.is_dir()
            else f"{path} does not exist; name a Parquet file, or a folder with train*.parquet and val*.parquet in it"
        )
    return found


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _no_split(source: DataSource, split: Split, path: Path, expected: list[str]) -> TgrError:
    word = "training" if split == "train" else "evaluation"
    return TgrError(
        f"{source.dataset} has no {word} split ({' or '.join(expected)} was looked for in {path}); "
        f"name one with --{split}-data"
    )
