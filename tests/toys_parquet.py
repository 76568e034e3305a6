"""Three small pictures in Parquet files as other tools write them, opened as a data set, with what was noted."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from toys_class_folders import Heard

from tgr_cli.data.datasets import DataSource, ImageSet, open_split


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (3, 2), value).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = [png(10), png(20), png(30)]
NAMES = ["ant", "bee", "cow"]
OWN = {"classes": "\n".join(NAMES)}


def hub(feature: Any, label: str = "label") -> dict[str, str]:
    """Return the metadata written by the hub's library: the features of all columns."""
    return {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, label: feature}}})}


def write(path: Path, metadata: dict[str, str] | None = None, /, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


def opened(path: Path, split: Any = "eval", **options: Path) -> tuple[ImageSet, list[str]]:
    heard = Heard()
    return open_split(DataSource(dataset=f"parquet:{path}", **options), split, heard), heard.notes


def values(images: ImageSet) -> list[int]:
    """Return the top left value of every image."""
    return [images.image(n).convert("L").getpixel((0, 0)) for n in range(len(images))]


STRUCTURES = pa.array([{"bytes": picture, "path": f"{n}.png"} for n, picture in enumerate(PICTURES)])
