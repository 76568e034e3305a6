"""Small data sets as Parquet files and as folders, and pictures as bytes."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def write(path: Path, /, *, classes: str | None = "a\nb", **columns: Any) -> Path:
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata({"classes": classes} if classes else None), path)
    return path


def write_folders(folder: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (3, 2), (number, 0, 0)).save(folder / name / f"{number}.png")
    return folder
