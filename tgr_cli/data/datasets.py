"""Opening the splits of a data set, by name or path: training and evaluation images."""

from pathlib import Path

from tgr_cli.data import built_in, folder, folder_layout, labels, parquet, parquet_files
from tgr_cli.data.images import ImageSet, Split
from tgr_cli.data.loading import batches
from tgr_cli.data.source import (
    NAMED,
    PARQUET,
    Classes,
    DataSource,
    class_names,
    classes,
    only_one,
)
from tgr_cli.data.split_names import WORDS
from tgr_cli.errors import TgrError, found_at
from tgr_cli.naming import listed
from tgr_cli.paths import real
from tgr_cli.reporting import SILENT, Reporter

__all__ = [
    "NAMED",
    "PARQUET",
    "DataSource",
    "ImageSet",
    "Split",
    "batches",
    "class_names",
    "open_split",
]


def open_split(source: DataSource, split: Split, reporter: Reporter = SILENT) -> ImageSet:
    """Return the training or evaluation split without decoding images.

    `reporter` is told how files and classes were matched and what is left out. Raises TgrError where the split is
    missing (saying where it was searched and how to get it), empty, damaged, or has a label out of range.
    """
    found = classes(source)
    if split == "eval":  # once is enough where both splits are opened
        for note in found.notes:
            reporter.note(note)
    return _open(source, split, found, reporter)


def _open(source: DataSource, split: Split, found: Classes, reporter: Reporter) -> ImageSet:
    if source.given is not None:
        images = source.given.eval if split == "eval" else source.given.train
        assert images is not None, "whether there is a train split is asked first (missing.has_split)"
        return images
    if (source.train_data if split == "train" else source.eval_data) is not None:
        return _replacement(source, split, found, reporter)
    if source.path is None:
        return built_in.read(
            source.dataset,
            split,
            source.root,
            download=source.download,
            names=found.names,
            callings=found.callings,
            reporter=reporter,
        )
    return (_parquet_split if source.dataset.startswith(PARQUET) else _folder_split)(source, split, found, reporter)


def _replacement(source: DataSource, split: Split, found: Classes, reporter: Reporter) -> ImageSet:
    """Return the split given by --train-data or --eval-data, its classes matched to the data set's."""
    option, path = f"--{split}-data", source.train_data if split == "train" else source.eval_data
    assert path is not None
    if not path.is_file() and not path.is_dir():
        raise TgrError(f"{option} {path} {found_at(path)}; name a Parquet file or a folder with one folder a class")
    if path.is_file() or _holds_parquet(path):
        tables = parquet_files.of(path)
        parts = [tables.alone] if tables.alone else tables.tables(split)
        if len(parts) != 1:
            raise TgrError(
                f"{option} {path} holds {len(parts)} tables that could be the {_word(split)} split; name one file"
            )
        return _table(source, split, found, parts[0], f"{option} {path.name}", reporter, where=f"{option} {path}")
    layout = folder_layout.of(path)
    for note in layout.notes:
        reporter.note(f"{option} {note}")
    inside = layout.folders(split)
    if len(inside) > 1 or (layout.splits and not inside):
        raise TgrError(
            f"{option} {path} holds {listed(part.name for part in layout.splits)}, and "
            f"{'several' if inside else 'none'} of them could be {_word(split)}; name the one that is meant"
        )
    place = inside[0] if inside else layout.base
    used = f"{option} {path.name}" + (f"/{place.relative_to(path).as_posix()}" if place != path else "")
    return folder.read_matched(place, source.dataset, split, found.names, found.callings, used, reporter, tell_how=True)


def _holds_parquet(path: Path) -> bool:
    """Return whether a folder contains Parquet files, directly or in a subfolder "data" (the Hugging Face layout)."""
    places = (place for place in (path, path / "data") if place.is_dir())
    return any(entry.suffix.lower() in parquet_files.SUFFIXES for place in places for entry in place.iterdir())


def _word(split: Split) -> str:
    return "training" if split == "train" else "evaluation"


def _folder_split(source: DataSource, split: Split, found: Classes, reporter: Reporter) -> ImageSet:
    path = source.path
    assert path is not None
    layout = folder_layout.of(path)
    inside = layout.folders(split)
    place = only_one(path, split, inside, [str(part) for part in inside])
    if place is None and (split == "train" or layout.splits):
        raise _no_split(source, split, [f"{word}/" for word in WORDS[split]])
    place = place or layout.base
    below = place.relative_to(path).as_posix()
    used = real(path).name if below == "." else f"{real(path).name}/{below}"
    return folder.read_matched(place, source.dataset, split, found.names, found.callings, used, reporter)


def _parquet_split(source: DataSource, split: Split, found: Classes, reporter: Reporter) -> ImageSet:
    path = source.path
    assert path is not None
    files = parquet_files.of(path)
    if files.alone:
        if split == "eval":
            return _table(source, split, found, files.alone, _names(files.alone), reporter)
        raise _no_split(source, split, ["train*.parquet beside it"])
    tables = files.tables(split)
    if not tables:
        raise _no_split(source, split, [f"{word}*.parquet" for word in WORDS[split]])
    only_one(path, split, [parts[0] for parts in tables], [str(parts[0]) for parts in tables])
    for note in files.notes:
        reporter.note(note)
    return _table(source, split, found, tables[0], _names(tables[0]), reporter)


def _table(
    source: DataSource,
    split: Split,
    found: Classes,
    parts: parquet_files.Parts,
    used: str,
    reporter: Reporter,
    where: str = "",
) -> ImageSet:
    """Return a table's images; class names of its own are matched to the data set's."""
    own = parquet.own_classes(parts)
    if own is None:
        return parquet.read(parts, source.dataset, split, found.names, used, reporter=reporter)
    matched = labels.match(
        own.names,
        found.callings,
        where=where or str(parts[0]),
        dataset=source.dataset,
        what="class",
        listed_by_label=own.declared,
    )
    if matched.note:
        reporter.note(matched.note)
    same = matched.labels == tuple(range(len(found.names)))
    if own.declared and not same:
        reporter.note(f"{used}: its classes are those of {source.dataset} by name, in another order")
    return parquet.read(
        parts,
        source.dataset,
        split,
        found.names,
        used,
        own=own.names,
        labels=None if same else matched.labels,
        reporter=reporter,
    )


def _names(parts: parquet_files.Parts) -> str:
    return ", ".join(part.name for part in parts)


def _no_split(source: DataSource, split: Split, expected: list[str]) -> TgrError:
    return TgrError(
        f"{source.dataset} has no {_word(split)} split ({' or '.join(expected)} was looked for in {source.path}); "
        f"name one with --{split}-data"
    )
