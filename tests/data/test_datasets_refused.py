"""Data sets that are unsound, damaged, missing or ambiguous, and pictures that cannot be decoded."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from toys import write_toy_parquet
from toys_datasets import encoded, write, write_folders

from tgr_cli.data.datasets import DataSource, open_split
from tgr_cli.errors import TgrError

PNG = encoded(Image.new("L", (2, 2)))
BAD_PARQUET: dict[str, tuple[dict[str, Any], str]] = {
    "foreign": ({"x": [1]}, r"bad.parquet has no column image; a data set of images has the columns image"),
    "no label": ({"image": [PNG]}, "bad.parquet has no column label;"),
    "text": ({"image": ["a.png"], "label": [0]}, "bad.parquet has the column image as string;"),
    "float": ({"image": [PNG], "label": [0.5]}, "bad.parquet has the label 0.5 in row 0, which is no label;"),
    "null": ({"image": [PNG, None], "label": [0, 1]}, "bad.parquet has no image in row 1; fill it in or remove"),
    "range": ({"image": [PNG, PNG], "label": [0, 2]}, "image bad/1 of bad.parquet has label 2, where 0 to 1 are"),
    "negative": ({"image": [PNG], "label": [-1]}, "image bad/0 of bad.parquet has label -1, where 0 to 1 are"),
    "twice": ({"image": [PNG] * 2, "label": [0, 1], "path": ["a", "a"]}, "bad.parquet holds the image id a twice;"),
    "empty": (
        {"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())},
        "bad.parquet holds no image; give",
    ),
}


@pytest.mark.parametrize("case", BAD_PARQUET)
def test_unsound_parquet(case: str, tmp_path: Path) -> None:
    columns, words = BAD_PARQUET[case]
    write(tmp_path / "bad.parquet", **columns)
    with pytest.raises(TgrError, match=words) as caught:
        open_split(DataSource(dataset=f"parquet:{tmp_path / 'bad.parquet'}"), "eval")
    assert "\n" not in str(caught.value)


def test_damaged_or_missing_files(tmp_path: Path, png: bytes) -> None:
    whole = write_toy_parquet(tmp_path / "whole.parquet").read_bytes()
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TgrError, match=r"cut.parquet is not a whole Parquet file \(truncated, or another format\)"):
        open_split(DataSource(dataset=f"parquet:{cut}"), "eval")
    holed = bytearray(whole)
    holed[4:2000] = bytes(1996)
    cut.write_bytes(holed)
    with pytest.raises(TgrError, match=r"cut.parquet is damaged and cannot be read \(.*\); get it again"):
        open_split(DataSource(dataset=f"parquet:{cut}"), "eval")
    with pytest.raises(TgrError, match=r"nowhere does not exist; name a Parquet file, or a folder"):
        open_split(DataSource(dataset=f"parquet:{tmp_path / 'nowhere'}"), "eval")
    with pytest.raises(TgrError, match=r"nowhere does not exist; name a folder that holds train/ and val/"):
        open_split(DataSource(dataset=f"imagefolder:{tmp_path / 'nowhere'}"), "eval")
    with pytest.raises(TgrError, match=r"--eval-data nowhere does not exist; name a Parquet file or a folder"):
        open_split(DataSource(dataset="digits", eval_data=Path("nowhere")), "eval")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        TgrError, match=r"empty holds no .parquet file; name a Parquet file, or a folder with such files in it"
    ):
        open_split(DataSource(dataset=f"parquet:{tmp_path / 'empty'}"), "eval")
    with pytest.raises(TgrError, match="empty holds no folders; a folder of images for each class is expected"):
        open_split(DataSource(dataset=f"imagefolder:{tmp_path / 'empty'}"), "eval")
    write(tmp_path / "empty" / "train.parquet", image=[png], label=[0])
    with pytest.raises(TgrError, match=r"has no evaluation split \(val\*.parquet or test\*.parquet was looked for"):
        open_split(DataSource(dataset=f"parquet:{tmp_path / 'empty'}"), "eval")


def test_ambiguous_or_inconsistent_folders(tmp_path: Path, png: bytes) -> None:
    for word in ("train", "val", "test"):
        write_folders(tmp_path / "folders" / word, {"a": 1})
        write(tmp_path / f"{word}.parquet", image=[png], label=[0], classes="a\nb" if word == "train" else "a\nc")
    with pytest.raises(TgrError, match="holds both test and val, and either could be evaluated; choose with"):
        open_split(DataSource(dataset=f"imagefolder:{tmp_path / 'folders'}"), "eval")
    with pytest.raises(TgrError, match=r"val.parquet and .*train.parquet name different classes; give one data set's"):
        open_split(DataSource(dataset=f"parquet:{tmp_path}"), "eval")
    for word in ("val", "test"):
        write(tmp_path / f"{word}.parquet", image=[png], label=[0])
    with pytest.raises(TgrError, match=r"holds both test.parquet and val.parquet, and either could be evaluated"):
        open_split(DataSource(dataset=f"parquet:{tmp_path}"), "eval")
    write_folders(tmp_path / "two" / "train", {"a": 1})
    write_folders(tmp_path / "two" / "val", {"a": 1, "b": 1})
    source = DataSource(dataset=f"imagefolder:{tmp_path / 'two'}")
    with pytest.raises(TgrError, match='holds the folder "b", which is no class of imagefolder'):
        open_split(source, "eval")
    (tmp_path / "two" / "train" / "a" / "0.png").unlink()
    with pytest.raises(TgrError, match=r"^two/train holds no image; give a data set with at least one$"):
        open_split(source, "train")


@pytest.mark.skipif(os.name != "posix", reason="names that are no UTF-8 exist on POSIX only")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    write_folders(tmp_path, {"a": 1})
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / os.fsdecode(b"\xff.png"))
    with pytest.raises(TgrError, match="has a name that is not valid UTF-8; rename its files and folders"):
        open_split(DataSource(dataset=f"imagefolder:{tmp_path}"), "eval")


def test_undecodable_pictures_are_named(tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = encoded(Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)))
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    images = [b"no picture", png[: len(png) // 2], deep, script, b"", encoded(Image.new("L", (20, 20)))]
    write(tmp_path / "x.parquet", image=images, label=[0] * 6, path=["text", "cut", "deep", "script", "none", "large"])
    found = open_split(DataSource(dataset=f"parquet:{tmp_path / 'x.parquet'}"), "eval")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    expected = [
        "image text of x.parquet is none of PNG, JPEG,",
        "image cut of x.parquet cannot be decoded (",
        "image deep of x.parquet cannot be decoded (its pixels are of mode I;16, where 8 bits a channel are expected)",
        "image script of x.parquet is none of PNG, JPEG,",
        "image none of x.parquet is none of PNG, JPEG,",
        "image large of x.parquet has over 300 pixels; shrink it first",
    ]
    for number, words in enumerate(expected):
        with pytest.raises(TgrError, match="^" + re.escape(words)) as caught:
            found.image(number)
        assert "\n" not in str(caught.value)
