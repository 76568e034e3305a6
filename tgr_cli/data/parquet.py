"""Pictures in Parquet files: columns image (encoded bytes), label and, where there is one, path."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tgr_cli.data.images import ImageSet, Split, checked, decode
from tgr_cli.errors import TgrError

COLUMNS = "image (encoded bytes), label (signed integer)"


@dataclass(frozen=True)
class EncodedImages:
    """Row number → the picture decoded; only the encoded bytes are held."""

    column: pa.ChunkedArray

    def __call__(self, row: int) -> Image.Image:
        return decode(io.BytesIO(self.column[row].as_py()))


def classes(path: Path) -> tuple[str, ...] | None:
    """Return the class names in the file's metadata, None where it has none; no picture is read.

    Raises TgrError where the file is missing, damaged, or not a data set of pictures.
    """
    names = (_schema(path).metadata or {}).get(b"classes")
    return tuple(names.decode(errors="replace").strip("\n").split("\n")) if names else None


def read(paths: Sequence[Path], dataset: str, split: Split, names: tuple[str, ...], used: str) -> ImageSet:
    """Return the rows of the files, one after the other, as a split; ids are `path`, else `<file stem>/<row>`.

    Raises TgrError where a file is damaged or of another layout, or its rows are unsound.
    """
    tables = [_table(path) for path in paths]
    images = pa.chunked_array([chunk for table in tables for chunk in table.column("image").chunks], pa.large_binary())
    return checked(
        ImageSet(
            dataset=dataset,
            split=split,
            classes=names,
            ids=tuple(name for table in tables for name in table.column("path").to_pylist()),
            labels=np.concatenate([table.column("label").to_numpy() for table in tables]),
            used=used,
            read=EncodedImages(images),
        )
    )


def _schema(path: Path) -> pa.Schema:
    if not path.is_file():
        raise TgrError(f"{path} is not a file; name a Parquet file with the columns {COLUMNS}")
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise TgrError(f"{path} is not a whole Parquet file (truncated, or another format); get it again") from error
    kinds = {"image": _is_bytes, "label": pa.types.is_signed_integer, "path": _is_text}
    for column, fits in kinds.items():
        if column not in schema.names:
            if column == "path":
                continue
            raise TgrError(f"{path} has no column {column}; a data set of images has the columns {COLUMNS}")
        found = schema.field(column).type
        if not fits(found):
            raise TgrError(f"{path} has the column {column} as {found}; a data set of images has the columns {COLUMNS}")
    return schema


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _table(path: Path) -> pa.Table:
    """Return the file's columns image (large binary), label (int64) and path (string), without a null."""
    columns = [name for name in ("image", "label", "path") if name in _schema(path).names]
    try:
        table = pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise TgrError(f"{path} is damaged and cannot be read; get it again") from error
    for column in columns:
        if table.column(column).null_count:
            row = table.column(column).is_null().index(True).as_py()
            raise TgrError(f"{path} has no {column} in row {row}; fill it in or remove the row")
    if "path" not in columns:
        table = table.append_column("path", pa.array([f"{path.stem}/{row}" for row in range(len(table))], pa.string()))
    return table.cast(pa.schema([("image", pa.large_binary()), ("label", pa.int64()), ("path", pa.string())]))
