"""The choice of a data set and its class names; reads no images and does not import torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tgr_cli import defaults, documents
from tgr_cli.artifacts.layout import slug
from tgr_cli.artifacts.unrecorded import UNRECORDED
from tgr_cli.data import built_in, folder, folder_layout, labels, parquet_files
from tgr_cli.data.images import ImageSet, Split
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.naming import Spellings, composed
from tgr_cli.paths import on_this_machine, place, real
from tgr_cli.reporting import SILENT, Reporter

if TYPE_CHECKING:
    from tgr_cli.data import parquet

NAMED = built_in.NAMES
IMAGEFOLDER, PARQUET = "imagefolder:", "parquet:"


@dataclass(frozen=True, eq=False)
class GivenSplits:
    """The splits of a data set in memory; `train` is None where there is none."""

    eval: ImageSet
    train: ImageSet | None = None


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """The choice of a data set: its name or path, and what replaces parts of it.

    `dataset` is one of NAMED, imagefolder:PATH or parquet:PATH. `train_data` and `eval_data` (a Parquet file, or a
    folder of class folders) replace a split; `class_names` (a text file, one name per line) replaces the class names.
    `given` are splits in memory, for which `dataset` is a name.
    """

    dataset: str = defaults.DATASET
    data_root: Path | None = None
    download: bool = False
    train_data: Path | None = None
    eval_data: Path | None = None
    class_names: Path | None = None
    name: str | None = None
    given: GivenSplits | None = field(default=None, repr=False, metadata=UNRECORDED)

    def __post_init__(self) -> None:
        if self.data_root is not None:
            on_this_machine(self.data_root, "the named data sets are read from folders")
        if self.path is not None and self.dataset.startswith(IMAGEFOLDER):
            on_this_machine(self.path, folder_layout.ONE_BY_ONE)
        if self.given is not None or self.dataset in NAMED or self.path is not None:
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
        if self.given is not None:
            return None
        for prefix in (IMAGEFOLDER, PARQUET):
            if self.dataset.startswith(prefix) and self.dataset != prefix:
                return place(self.dataset.removeprefix(prefix)).expanduser()
        return None

    @property
    def root(self) -> Path:
        """Return the folder that holds the named data sets."""
        return self.data_root or defaults.DATA_ROOT

    @property
    def folder(self) -> str:
        """Return the name of the data set's folder in the workdir."""
        if self.name is not None:
            return self.name
        return self.dataset if self.path is None else slug(real(self.path).name.removesuffix(".parquet"))


@dataclass(frozen=True)
class Classes:
    """A data set's classes in label order.

    `names` are the class names, `callings` all accepted names of each class, `notes` messages about their order.
    """

    names: tuple[str, ...]
    callings: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def class_names(source: DataSource, reporter: Reporter = SILENT) -> tuple[str, ...]:
    """Return the class names in label order, without reading images. Raises as `classes`."""
    found = classes(source)
    for note in found.notes:
        reporter.note(note)
    return found.names


def classes(source: DataSource) -> Classes:
    """Return the classes of a data set, without reading images.

    Raises TgrError where a data set given by its path is missing or has no class names, or `source.class_names` does
    not fit.
    """
    if source.given is not None:
        names = source.given.eval.classes
        return Classes(names, tuple((name,) for name in names))
    given = None if source.class_names is None else _names_in(source.class_names)
    if source.path is not None and source.dataset.startswith(IMAGEFOLDER):
        return _of_folders(source.path, source, given)
    if source.path is None:
        return _renamed(source, built_in.class_names(source.dataset), built_in.callings(source.dataset), given)
    brought = _of_tables(source.path)
    if brought is not None and brought.declared:
        return _renamed(source, brought.names, [(name,) for name in brought.names], given)
    if given is not None:
        return Classes(given, tuple((name,) for name in given))
    if brought is None:
        raise TgrError(
            f'{source.dataset} names no classes in its metadata "classes"; give them with --class-names FILE'
        )
    note = f"{source.path.name}: the classes are the {len(brought.names):,} different labels, sorted"
    return Classes(brought.names, tuple((name,) for name in brought.names), (note,))


def _renamed(
    source: DataSource, known: tuple[str, ...], callings: Sequence[tuple[str, ...]], given: tuple[str, ...] | None
) -> Classes:
    """Return the classes under the names in `given`, one name per label."""
    if given is None:
        return Classes(known, tuple(callings))
    if len(given) != len(known):
        raise TgrError(
            f"{source.class_names} has {len(given)} names where {source.dataset} has {len(known)} classes; "
            "give one class name a line"
        )
    spelt = Spellings((name, label) for label, names in enumerate(callings) for name in names)
    places = [spelt.places(name) for name in given]
    same_names = 2 * sum(map(bool, places)) > len(given)  # with fewer in common, these are names of the user's own
    for label, (name, at) in enumerate(zip(given, places, strict=True)):
        if same_names and labels.stands_elsewhere(given, label, at):
            raise TgrError(
                f'{source.class_names} has "{name}" in line {label + 1}, but {source.dataset} has it as class {at[0]}, '
                f"line {at[0] + 1}; write the names in the order of the labels"
            )
    return Classes(given, tuple((name, *names) for name, names in zip(given, callings, strict=True)))


def _of_folders(path: Path, source: DataSource, given: tuple[str, ...] | None) -> Classes:
    """Return the classes of class folders: the folders' names, or those in `given` with the folders matched to them."""
    layout = folder_layout.of(path)
    places = layout.folders("train") or layout.folders("eval") or [layout.base]
    found = folder.classes(places[0])
    for other in places[1:]:
        if folder.classes(other) != found:
            raise TgrError(f"{places[0]} and {other} hold folders of different classes; give one data set's folders")
    if given is None:
        note = labels.own_order(found, source.path.name if source.path else "")
        return Classes(found, tuple((name,) for name in found), (*layout.notes, *([note] if note else [])))
    of_given = [(name,) for name in given]
    told = f"--class-names {source.class_names}"
    matched = labels.match(found, of_given, where=str(places[0]), dataset=told, listed_by_label=True)
    folder_of = dict(zip(matched.labels, found, strict=True))
    callings = tuple((name, folder_of[label]) if label in folder_of else (name,) for label, name in enumerate(given))
    return Classes(given, callings, (*layout.notes, *([matched.note] if matched.note else [])))


def _of_tables(path: Path) -> "parquet.OwnClasses | None":
    """Return the class names of a Parquet data set: declared by its tables, else all its string labels, else None."""
    from tgr_cli.data import parquet  # slow to import, and only needed for this kind of data set

    found = {parts[0]: parquet.own_classes(parts) for parts in parquet_files.of(path).every()}
    texts = [own.names for own in found.values() if own is not None and not own.declared]
    if not texts:
        parquet.demand_equal({part: None if own is None else own.names for part, own in found.items()})
        return next(iter(found.values()))
    declared = next((own for own in found.values() if own is not None and own.declared), None)
    every = folder.sorted_names(sorted(set().union(*texts)), str(path), "labels")
    return declared or parquet.OwnClasses(every, declared=False)


def _names_in(file: Path) -> tuple[str, ...]:
    lines = documents.read_text(file, "give --class-names a text file with one class name a line").strip().splitlines()
    names = tuple(composed(line.strip()) for line in lines)
    if not names:
        raise TgrError(f"{file} is empty; give one class name a line")
    if not all(names):
        raise TgrError(f"{file} has an empty line {names.index('') + 1}; give one class name a line")
    return names


def only_one(path: Path, split: Split, found: Sequence[Path], instead: Sequence[str]) -> Path | None:
    """Return the one place found in `path` for a split, None if there is none.

    Raises TgrError where there are several; `instead` is the value of --train-data or --eval-data for each.
    """
    if len(found) > 1:
        names = sorted(part.relative_to(path).as_posix() for part in found)
        could = "trained on" if split == "train" else "evaluated"
        raise TgrError(
            f"{path} holds both {' and '.join(names)}, and either could be {could}; choose with --{split}-data, "
            f"as --{split}-data {instead[0]}"
        )
    return found[0] if found else None
