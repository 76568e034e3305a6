"""The columns of a Parquet data set, from any tool's conventions, converted to encoded bytes, labels and paths."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tgr_cli.errors import TgrError
from tgr_cli.naming import listed

# Usual names of each column. The first is tgr's own and takes precedence.
IMAGE = ("image", "img", "images", "picture", "photo", "pixel_values", "pixels", "image_bytes", "jpg", "jpeg", "png")
LABEL = (
    *("label", "labels", "fine_label", "target", "targets", "class", "class_id", "class_label", "class_name"),
    *("label_id", "label_name", "category", "cls", "y"),
)
PATH = ("path",)
EXPECTED = "image (encoded bytes), label (integer or text)"


@dataclass(frozen=True)
class Columns:
    """The names of a file's columns; `path` is None if it has none."""

    image: str
    label: str
    path: str | None


def find(file: Path, schema: pa.Schema) -> Columns:
    """Return which of the file's columns are used; raises TgrError if one is missing, ambiguous or mistyped."""
    image, label = _one(file, schema, IMAGE), _one(file, schema, LABEL)
    if image is None or label is None:
        raise TgrError(
            f"{file} has no column {IMAGE[0] if image is None else LABEL[0]}; a data set of images has the columns "
            f"{EXPECTED}, this file has {listed(schema.names) or 'none'}"
        )
    columns = Columns(image, label, _one(file, schema, PATH))
    for name, fits in ((image, is_image), (label, is_label), (columns.path, is_text)):
        if name is not None and not fits(plain_type(schema.field(name).type)):
            raise TgrError(
                f"{file} has the column {name} as {_short(schema.field(name).type)}; "
                f"a data set of images has the columns {EXPECTED}"
            )
    return columns


def _one(file: Path, schema: pa.Schema, names: tuple[str, ...]) -> str | None:
    there = [name for name in schema.names if name.casefold() in names]
    own = [name for name in there if name == names[0]] or [name for name in there if name.casefold() == names[0]]
    found = own or there
    if len(found) > 1:
        both = f"two columns called {found[0]}" if len(set(found)) == 1 else f"the columns {listed(found)}"
        raise TgrError(f"{file} has {both}, and either could be the {names[0]}; rename or remove the others")
    return found[0] if found else None


def _short(kind: pa.DataType) -> str:
    text = str(kind)
    return text if len(text) <= 80 else f"{text[:77]}..."


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the storage type of an extension or dictionary type (such as pandas' and polars' categories)."""
    while isinstance(kind, pa.BaseExtensionType) or pa.types.is_dictionary(kind):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
    return kind


def is_text(kind: pa.DataType) -> bool:
    """Return whether values are strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether values are bytes."""
    some = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(fits(kind) for fits in some)


def is_pixels(kind: pa.DataType) -> bool:
    """Return whether values are pixels: nested lists of integers, [H][W], [H][W][C] or [C][H][W]."""
    depth = 0
    while _is_list(kind):
        kind, depth = kind.value_type, depth + 1
    return depth in (2, 3) and pa.types.is_integer(kind)


def _is_list(kind: pa.DataType) -> bool:
    some = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    return any(fits(kind) for fits in some)


def is_image(kind: pa.DataType) -> bool:
    """Return whether values are images: encoded bytes, a struct with such bytes, or nested lists of pixels."""
    return is_bytes(kind) or is_pixels(kind) or (pa.types.is_struct(kind) and _bytes_field(kind) is not None)


def is_label(kind: pa.DataType) -> bool:
    """Return whether values can be labels: integers, other numeric types with whole values, booleans, or strings."""
    some = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return is_text(kind) or any(fits(kind) for fits in some)


def _bytes_field(kind: pa.DataType) -> str | None:
    """Return the struct field with the encoded image: "bytes" as on the hub, else the only binary field, or None."""
    found = [field.name for field in kind if is_bytes(plain_type(field.type))]
    return "bytes" if "bytes" in found else found[0] if len(found) == 1 else None


def images(file: Path, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return encoded images as large binary, or pixels unchanged; raises TgrError for a row without an image."""
    column = _plain(column)
    if not pa.types.is_struct(column.type):
        _demand_all(file, column, name)
        return column if is_pixels(column.type) else column.cast(pa.large_binary())
    field = _bytes_field(column.type)
    assert field is not None
    content = _plain(pc.struct_field(column, field))
    if content.null_count and "path" in {field.name for field in column.type}:
        row = int(pc.index(pc.is_null(content), True).as_py())
        path = pc.struct_field(column, "path")[row].as_py()
        if path is not None:
            raise TgrError(
                f"{file} has only the path {path} of the picture in row {row}, not its bytes; write the pictures into "
                "the file, or use --dataset imagefolder:"
            )
    _demand_all(file, content, name)
    return content.cast(pa.large_binary())


def labels(file: Path, column: pa.ChunkedArray, name: str) -> np.ndarray | list[str]:
    """Return the labels as int64 [N], or as strings; raises TgrError for a missing or non-integer label."""
    column = _plain(column)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)  # pandas writes a missing value as NaN
    if is_text(column.type):
        return texts(file, column, name)
    _demand_all(file, column, name)
    try:
        return column.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        row, value = _first_odd(column)
        raise TgrError(
            f"{file} has the {name} {value} in row {row}, which is no label; write whole numbers from 0"
        ) from error


def texts(file: Path, column: pa.ChunkedArray, name: str) -> list[str]:
    """Return a column of strings as a list; raises TgrError for a null or blank one."""
    column = _plain(column)
    _demand_all(file, column, name)
    found: list[str] = column.to_pylist()
    for row, text in enumerate(found):
        if not text.strip():
            raise TgrError(f"{file} has an empty {name} in row {row}; fill it in or remove the row")
    return found


def _first_odd(column: pa.ChunkedArray) -> tuple[int, object]:
    """Return the first row whose number is not a 64-bit integer, and that number."""
    for row, value in enumerate(column.to_pylist()):
        if not (abs(value) < 2**63 and value == int(value)):
            return row, value
    raise AssertionError


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column with extension and dictionary types resolved to their storage type."""
    while isinstance(column.type, pa.BaseExtensionType) or pa.types.is_dictionary(column.type):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        else:
            column = column.cast(column.type.storage_type)
    return column


def _demand_all(file: Path, column: pa.ChunkedArray, name: str) -> None:
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise TgrError(f"{file} has no {name} in row {row}; fill it in or remove the row")
