"""Images in Parquet files: columns image (encoded bytes), label and, optionally, path."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tgr_cli.data import hub_metadata, parquet_columns
from tgr_cli.data import labels as label_rule
from tgr_cli.data.folder import sorted_names
from tgr_cli.data.images import ImageSet, Split, checked, decode, out_of_range, tell_absent
from tgr_cli.data.parquet_columns import Columns
from tgr_cli.errors import TgrError, found_at
from tgr_cli.naming import composed
from tgr_cli.reporting import SILENT, Reporter

# Exceptions that Arrow raises for damaged files: corruption, invalid UTF-8, sizes beyond memory or 64 bits.
UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)


@dataclass(frozen=True)
class EncodedImages:
    """Row number → decoded image; only the encoded bytes are kept in memory."""

    column: pa.ChunkedArray

    def __call__(self, row: int) -> Image.Image:
        return decode(io.BytesIO(self.column[row].as_py()))


@dataclass(frozen=True)
class PixelRows:
    """Row number → image from nested lists: grey [H][W], or colour [H][W][C] or [C][H][W] with C = 1, 3 or 4."""

    column: pa.ChunkedArray

    def __call__(self, row: int) -> Image.Image:
        pixels = np.array(self.column[row].as_py())  # raises ValueError for ragged lists
        if pixels.size == 0 or pixels.min() < 0 or pixels.max() > 255:
            raise ValueError("its pixels are not whole numbers from 0 to 255")
        if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4):
            pixels = np.moveaxis(pixels, 0, 2)
        if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4):
            raise ValueError(f"its pixels have the shape {pixels.shape}, where 1, 3 or 4 channels are expected")
        return Image.fromarray(pixels.astype(np.uint8).squeeze(2) if pixels.shape[2:] == (1,) else _bytes(pixels))


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.astype(np.uint8))


@dataclass(frozen=True)
class OwnClasses:
    """Class names in a table: `declared` in its metadata, else its string labels, sorted."""

    names: tuple[str, ...]
    declared: bool


def own_classes(parts: Sequence[Path]) -> OwnClasses | None:
    """Return the class names in a table's files, None if its labels are integers without names.

    Reads no images. Raises TgrError where a file is missing, damaged, or not an image data set, and where the files
    declare different classes.
    """
    declared: dict[Path, tuple[str, ...] | None] = {}
    texts: set[str] = set()
    for part in parts:
        schema = _schema(part)
        columns = parquet_columns.find(part, schema)
        declared[part] = hub_metadata.class_names(part, schema.metadata or {}, columns.label)
        if declared[part] is None and _is_textual(schema, columns):
            column = _read(part, [columns.label]).column(columns.label)
            texts |= set(map(composed, parquet_columns.texts(part, column, columns.label)))
    demand_equal(declared)
    if (names := declared[parts[0]]) is not None:
        return OwnClasses(names, declared=True)
    return (
        OwnClasses(
            sorted_names(sorted(texts), str(parts[0].parent if len(parts) > 1 else parts[0]), "labels"), declared=False
        )
        if texts
        else None
    )


def demand_equal(classes: dict[Path, tuple[str, ...] | None]) -> None:
    """Raise TgrError where two files declare different classes, or in a different order."""
    first = next(iter(classes))
    for path, names in classes.items():
        if _composed(names) != _composed(classes[first]):
            raise TgrError(f"{path} and {first} name different classes; give one data set's files only")


def _composed(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else [composed(name) for name in names]


def read(
    paths: Sequence[Path],
    dataset: str,
    split: Split,
    names: tuple[str, ...],
    used: str,
    *,
    own: Sequence[str] | None = None,
    labels: Sequence[int] | None = None,
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Return the rows of the files, concatenated, as a split; ids are `path`, else `<file stem>/<row>`.

    `labels` maps each of the table's `own` classes to its label in the data set; None keeps the table's labels. Raises
    TgrError where a file is damaged or has other columns, or a row is invalid.
    """
    tables = [_Table.of(path) for path in paths]
    kinds = {table.images.type for table in tables}
    if len(kinds) > 1:
        raise TgrError(f"{used} has pictures of different types in its files ({' and '.join(sorted(map(str, kinds)))})")
    images = pa.chunked_array([chunk for table in tables for chunk in table.images.chunks], kinds.pop())
    reader = PixelRows(images) if parquet_columns.is_pixels(images.type) else EncodedImages(images)
    columns = {(table.columns.image, table.columns.label) for table in tables}
    if columns != {("image", "label")}:
        told = " and ".join(sorted({f'"{image}" and "{label}"' for image, label in columns}))
        reporter.note(f"{used}: pictures and labels are read from the columns {told}")
    found = checked(
        ImageSet(
            dataset=dataset,
            split=split,
            classes=names,
            ids=tuple(name for table in tables for name in table.ids),
            labels=np.concatenate([_labels(table, own, labels, reporter) for table in tables]),
            used=used,
            read=reader,
        )
    )
    if labels is not None:
        tell_absent(found, reporter)
    return found


def _labels(table: "_Table", own: Sequence[str] | None, labels: Sequence[int] | None, reporter: Reporter) -> np.ndarray:
    """Return the labels in the data set, int64 [N]; a label that is none of `own` is kept."""
    found = table.labels
    if isinstance(found, list):
        assert own is not None
        found = _numbers(table.path, found, own, reporter)
    if labels is None:
        return found
    inside = (found >= 0) & (found < len(labels))
    if not inside.all():
        raise out_of_range(table.ids[int(np.argmin(inside))], table.path.name, found[~inside], len(labels))
    return np.asarray(labels, np.int64)[found]


def _numbers(path: Path, texts: list[str], own: Sequence[str], reporter: Reporter) -> np.ndarray:
    """Return the index of each string among the file's `own` classes, int64 [N]."""
    different = sorted_names(sorted(set(map(composed, texts))), str(path), "labels")
    matched = label_rule.match(
        different,
        [(name,) for name in own],
        where=str(path),
        dataset=f"its {len(own):,} classes",
        what="label",
        in_order=False,
    )
    if matched.note:
        reporter.note(matched.note)
    number = dict(zip(different, matched.labels, strict=True))
    return np.array([number[composed(text)] for text in texts], np.int64)


@dataclass(frozen=True)
class _Table:
    """One file's columns, converted to the types used here."""

    path: Path
    columns: Columns
    images: pa.ChunkedArray
    labels: np.ndarray | list[str]
    ids: list[str]

    @classmethod
    def of(cls, path: Path) -> "_Table":
        columns = parquet_columns.find(path, _schema(path))
        wanted = [name for name in (columns.image, columns.label, columns.path) if name is not None]
        table = _read(path, wanted)
        ids = [f"{path.stem}/{row}" for row in range(len(table))]
        if columns.path is not None:
            ids = parquet_columns.texts(path, table.column(columns.path), columns.path)
        try:
            images = parquet_columns.images(path, table.column(columns.image), columns.image)
            labels = parquet_columns.labels(path, table.column(columns.label), columns.label)
        except UNREADABLE as error:
            raise _damaged(path, error) from error
        return cls(path, columns, images, labels, ids)


def _is_textual(schema: pa.Schema, columns: Columns) -> bool:
    return parquet_columns.is_text(parquet_columns.plain_type(schema.field(columns.label).type))


def _schema(path: Path) -> pa.Schema:
    if not path.is_file():
        raise TgrError(f"{path} {found_at(path)}; name a Parquet file with the columns {parquet_columns.EXPECTED}")
    try:
        schema = pq.read_schema(path)
        "".join(schema.names).encode()
    except UNREADABLE as error:
        raise TgrError(f"{path} is not a whole Parquet file (truncated, or another format); get it again") from error
    return schema


def _read(path: Path, columns: list[str]) -> pa.Table:
    """Return these columns of a file after full validation of offsets, indices and UTF-8."""
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=columns)
        table.validate(full=True)
    except UNREADABLE as error:
        raise _damaged(path, error) from error
    return table


def _damaged(path: Path, error: Exception) -> TgrError:
    reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    return TgrError(f"{path} is damaged and cannot be read ({reason}); get it again, or write it again")
