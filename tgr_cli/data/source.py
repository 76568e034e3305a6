"""Which data set is meant, and what its classes are called: no picture is touched, and torch is not loaded."""

from dataclasses import dataclass
from pathlib import Path

from tgr_cli.artifacts.layout import slug
from tgr_cli.data import folder, named, parquet
from tgr_cli.data.images import Split
from tgr_cli.errors import TgrError, did_you_mean

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
    known = known_names(source)
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


def known_names(source: DataSource) -> tuple[str, ...] | None:
    """Return the names the data set itself gives its classes, None for Parquet files that name none."""
    if source.path is None:
        return named.class_names(source.dataset)
    if source.dataset.startswith(IMAGEFOLDER):
        return folder.classes(split_folder(source.path, "train") or split_folder(source.path, "eval") or source.path)
    found = {path: parquet.classes(path) for path in _parquet_files(source.path)}
    first = next(iter(found))
    for path, names in found.items():
        if names != found[first]:
            raise TgrError(f"{path} and {first} name different classes; give one data set's files only")
    return found[first]


def split_folder(path: Path, split: Split) -> Path | None:
    """Return the subfolder that holds a split, None where there is none; raises TgrError where two could."""
    if not path.is_dir():
        raise TgrError(f"{path} is not a folder; name one that holds train/ and val/, or a folder of images a class")
    return only_one(path, [path / word for word in FOLDERS[split] if (path / word).is_dir()])


def only_one(path: Path, found: list[Path]) -> Path | None:
    """Return the one place found in `path` for a split, None for none; raises TgrError where there are two."""
    if len(found) > 1:
        both = " and ".join(sorted(part.name for part in found))
        raise TgrError(f"{path} holds both {both}, and either could be evaluated; choose with --eval-data")
    return found[0] if found else None


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
