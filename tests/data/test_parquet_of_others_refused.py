"""Parquet files of other tools that cannot be taken: their columns, labels, class names and damage."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toys_parquet import NAMES, OWN, PICTURES, STRUCTURES, hub, opened, write

from tgr_cli.data.datasets import DataSource, class_names
from tgr_cli.errors import TgrError

BAD: dict[str, tuple[dict[str, str] | None, dict[str, Any], str]] = {
    "path alone": (
        OWN,
        {"image": pa.array([{"bytes": PICTURES[0], "path": None}, {"bytes": None, "path": "b.png"}]), "label": [0, 1]},
        "has only the path b.png of the picture in row 1, not its bytes; write the pictures into the file",
    ),
    "null": (OWN, {"image": STRUCTURES.take(pa.array([0, None])), "label": [0, 1]}, "has no image in row 1; fill"),
    "structure": (OWN, {"image": pa.array([{"path": "b.png"}]), "label": [0]}, "has the column image as struct<path"),
    "floats": (OWN, {"image": pa.array([[[0.5]]]), "label": [0]}, "has the column image as list<element: list"),
    "flat": (OWN, {"image": pa.array([[1, 2]]), "label": [0]}, "has the column image as list<element: int64>;"),
    "several": (OWN, {"image": PICTURES[:1], "label": pa.array([[0]])}, "has the column label as list<element: int"),
    "fraction": (OWN, {"image": PICTURES[:2], "label": [1.0, 1.5]}, "has the label 1.5 in row 1, which is no label"),
    "missing float": (OWN, {"image": PICTURES[:2], "label": [1.0, np.nan]}, "has no label in row 1; fill it in or"),
    "huge": (OWN, {"image": PICTURES[:1], "label": pa.array([2**64 - 1], pa.uint64())}, "has the label 184467440737"),
    "endless": (OWN, {"image": PICTURES[:1], "label": [np.inf]}, "has the label inf in row 0, which is no label"),
    "kept back": (OWN, {"image": PICTURES[:1], "label": [-1]}, "label -1, where 0 to 2 are .*; -1 stands for no label"),
    "strange word": (OWN, {"image": PICTURES[:1], "label": ["elk"]}, 'holds the label "elk", which is no class of its'),
    "either image": (OWN, {"img": PICTURES[:1], "png": PICTURES[:1], "label": [0]}, "has the columns img, png, and"),
    "either label": (OWN, {"image": PICTURES[:1], "target": [0], "y": [0]}, "has the columns target, y, and either"),
    "no json": ({"huggingface": "{"}, {"image": PICTURES[:1], "label": [0]}, '"huggingface" that is not valid JSON'),
    "deep json": (
        {"huggingface": "[" * 9**5},
        {"image": PICTURES[:1], "label": [0]},
        'metadata "huggingface" that',
    ),
    "twice": (
        {"huggingface": '{"a": 1, "a": 2}'},
        {"image": PICTURES[:1], "label": [0]},
        '"a" stands there twice',
    ),
    "half": (hub({"names": ["\ud800"]}), {"image": PICTURES[:1], "label": [0]}, "half a character"),
    "long key": (hub({"names": {"9" * 5000: "a"}}), {"image": PICTURES[:1], "label": [0]}, "are no list of"),
    "no names": (hub({"names": [1]}), {"image": PICTURES[:1], "label": [0]}, "whose names for the column label are no"),
    "a name missing": (hub({"names": {"0": "a", "2": "b"}}), {"image": PICTURES[:1], "label": [0]}, "are no list of"),
    "empty name": ({"classes": "a\n\nb"}, {"image": PICTURES[:1], "label": [0]}, "gives class 1 an empty name; mend"),
    "nothing": (None, {"image": PICTURES[:1], "label": [0]}, "names no classes in its metadata"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_taken_ends_in_a_sentence(tmp_path: Path, case: str) -> None:
    metadata, columns, words = BAD[case]
    path = write(tmp_path / "bad.parquet", metadata, **columns)
    with pytest.raises(TgrError, match=words) as caught:
        opened(path)
    assert "bad.parquet" in str(caught.value)
    assert "\n" not in str(caught.value)


def broken_text(values: list[bytes]) -> pa.Array:
    return pa.array(values, pa.binary()).view(pa.string())


def test_damage_ends_in_a_sentence(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays(
        [pa.array(PICTURES), pa.array([0] * 3), pa.array([1] * 3)], ["image", "label", "label"]
    )
    pq.write_table(twice.replace_schema_metadata(OWN), tmp_path / "twice.parquet")
    with pytest.raises(TgrError, match="has two columns called label, and either could be the label; rename or remove"):
        opened(tmp_path / "twice.parquet")
    text = broken_text([b"\xff1", b"\xff2", b"a"])
    for metadata, columns in (
        (OWN, {"label": [0, 1, 2], "path": text}),
        (None, {"label": text}),
        (OWN, {"label": text.dictionary_encode()}),
    ):
        path = write(tmp_path / "text.parquet", metadata, image=PICTURES, **columns)
        with pytest.raises(TgrError, match=r"text.parquet is damaged and cannot be read \(.*UTF.?8.*\); get it again"):
            opened(path)
    pq.write_table(
        pa.table({"image": PICTURES, "label": [0, 1, 2]}).replace_schema_metadata({b"classes": b"\xff\na\nb"}), path
    )
    with pytest.raises(TgrError, match='has class names in its metadata "classes" that are no UTF-8; mend them'):
        class_names(DataSource(dataset=f"parquet:{path}"))
    odd = pa.array([[[1, 2], [3]], [[300]], [[]]], pa.list_(pa.list_(pa.int64())))
    images, _ = opened(write(tmp_path / "odd.parquet", OWN, image=odd, label=[0, 1, 2]))
    for number in range(3):
        with pytest.raises(TgrError, match=f"^image odd/{number} of odd.parquet cannot be decoded"):
            images.image(number)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["ant", "ant ", "bee"], 'holds two labels for one class, "ant" and "ant "; merge them'),
        (["7", "07", "8"], 'holds two labels for one class, "07" and "7"; merge them'),
        (["ant", "", "bee"], "has an empty label in row 1; fill it in or remove the row"),
    ],
)
def test_texts_that_are_no_classes_of_their_own(labels: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(TgrError, match=words):
        opened(write(tmp_path / "x.parquet", image=PICTURES, label=labels))


def test_texts_of_two_splits_that_differ_in_a_space_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", image=PICTURES, label=NAMES)
    write(tmp_path / "test.parquet", image=PICTURES, label=["ant", "bee ", "cow"])
    with pytest.raises(TgrError, match='holds two labels for one class, "bee" and "bee "'):
        opened(tmp_path)
