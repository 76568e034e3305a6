"""Parquet files of other tools: Hugging Face hub, pandas, Polars, DuckDB, Spark."""

import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from toys_class_folders import Heard
from toys_parquet import NAMES, OWN, PICTURES, STRUCTURES, hub, opened, png, values, write

from tgr_cli.data.datasets import DataSource, open_split
from tgr_cli.errors import TgrError

IMAGES = {
    "hub": STRUCTURES,
    "bytes alone": pa.array([{"data": picture} for picture in PICTURES]),
    "large": pa.array(PICTURES, pa.large_binary()),
    "view": pa.array(PICTURES).cast(pa.binary_view()),
    "fixed": pa.array(PICTURES, pa.binary(len(PICTURES[0]))),
    "dictionary": pa.array(PICTURES).dictionary_encode(),
    "grey rows": pa.array([np.full((2, 3), n).tolist() for n in (10, 20, 30)], pa.list_(pa.list_(pa.uint8()))),
    "colours last": pa.array([np.full((2, 4, 3), n).tolist() for n in (10, 20, 30)]),
    "colours first": pa.array([np.full((3, 4, 5), n).tolist() for n in (10, 20, 30)]),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_pictures_of_every_type(tmp_path: Path, kind: str) -> None:
    assert len(PICTURES[0]) == len(PICTURES[1]) == len(PICTURES[2])
    images, notes = opened(
        write(tmp_path / "x.parquet", {"classes": "\n".join(NAMES)}, image=IMAGES[kind], label=[0, 1, 2])
    )
    assert (values(images), images.labels.tolist(), notes) == ([10, 20, 30], [0, 1, 2], [])


LABELS = {
    "unsigned": pa.array([2, 0, 1], pa.uint8()),
    "unsigned 64": pa.array([2, 0, 1], pa.uint64()),
    "small": pa.array([2, 0, 1], pa.int8()),
    "whole floats": pa.array([2.0, 0.0, 1.0]),
    "decimals": pa.array([Decimal(2), Decimal(0), Decimal(1)], pa.decimal128(38, 0)),
    "words": pa.array(["cow", "ant", "bee"]),
    "categories": pa.array(["cow", "ant", "bee"]).dictionary_encode(),
    "large words": pa.array(["cow", "ant", "bee"], pa.large_string()),
    "views": pa.array(["cow", "ant", "bee"]).cast(pa.string_view()),
    "numbers in words": pa.array(["2", "0", "1"]),
    "categories of numbers": pa.array([2, 0, 1]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("named", ["tgr", "hub", "hub numbered", "--class-names"])
def test_labels_of_every_type(tmp_path: Path, kind: str, named: str) -> None:
    (tmp_path / "names.txt").write_text("\n".join(NAMES), encoding="utf-8")
    metadata = {
        "tgr": {"classes": "\n".join(NAMES)},
        "hub": hub({"names": NAMES, "_type": "ClassLabel"}),
        "hub numbered": hub({"class_label": {"names": {"0": "ant", "2": "cow", "1": "bee"}}}),
        "--class-names": None,
    }[named]
    options = {"class_names": tmp_path / "names.txt"} if named == "--class-names" else {}
    images, _ = opened(write(tmp_path / "x.parquet", metadata, image=PICTURES, label=LABELS[kind]), **options)
    assert (images.classes, images.labels.tolist()) == (tuple(NAMES), [2, 0, 1])


def test_words_alone_are_sorted_over_all_files_and_told(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train.parquet", image=PICTURES, label=["cow", "ant", "bee"])
    write(tmp_path / "set" / "test.parquet", image=PICTURES[:2], label=["bee", "dog"])
    images, notes = opened(tmp_path / "set")
    assert (images.classes, images.labels.tolist()) == (("ant", "bee", "cow", "dog"), [1, 3])
    assert notes == [
        "set: the classes are the 4 different labels, sorted",
        "test.parquet has images of 2 of 4 classes: none of ant, cow",
    ]
    numbers = write(tmp_path / "n.parquet", image=PICTURES, label=["10", "2", "0"])
    assert opened(numbers)[0].classes == ("0", "2", "10")


@pytest.mark.parametrize(
    ("image", "label"), [("img", "fine_label"), ("Image", "Label"), ("picture", "category"), ("pixel_values", "labels")]
)
def test_columns_by_their_usual_names(tmp_path: Path, image: str, label: str) -> None:
    columns: dict[str, Any] = {image: STRUCTURES, label: [0, 1, 2], "coarse_label": [0, 0, 1]}
    images, notes = opened(
        write(tmp_path / "x.parquet", hub({"names": NAMES, "_type": "ClassLabel"}, label), **columns)
    )
    assert (values(images), images.classes, images.labels.tolist()) == ([10, 20, 30], tuple(NAMES), [0, 1, 2])
    assert notes == [f'x.parquet: pictures and labels are read from the columns "{image}" and "{label}"']


@pytest.mark.parametrize("writer", ["pandas", "polars", "duckdb"])
def test_files_of_other_writers(tmp_path: Path, writer: str) -> None:
    path, words = tmp_path / "x.parquet", ["cow", "ant", "bee"]
    if writer == "pandas":
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"image": PICTURES, "label": pandas.Categorical(words)}, index=[5, 6, 7])
        frame.to_parquet(path)
    elif writer == "polars":
        polars = pytest.importorskip("polars")
        frame = polars.DataFrame({"image": PICTURES, "label": polars.Series(words, dtype=polars.Categorical)})
        frame.write_parquet(path)
    else:
        duckdb = pytest.importorskip("duckdb")
        duckdb.register("pictures", pa.table({"image": STRUCTURES, "label": words}))
        duckdb.sql(f"COPY (SELECT image, label::ENUM('cow', 'ant', 'bee') AS label FROM pictures) TO '{path}'")
    images, _ = opened(path)
    assert (values(images), images.classes, images.labels.tolist()) == ([10, 20, 30], tuple(NAMES), [2, 0, 1])


def test_shards_of_the_hub_and_of_spark(tmp_path: Path) -> None:
    for number in (0, 2):
        write(tmp_path / "hub" / "data" / f"train-{number:05}-of-00003.parquet", OWN, image=PICTURES, label=[0] * 3)
    write(tmp_path / "hub" / "data" / "validation-00000-of-00001.parquet", OWN, image=PICTURES, label=[2, 1, 0])
    write(tmp_path / "hub" / "embeddings.parquet", x=[1])
    images, notes = opened(tmp_path / "hub")
    assert (images.used, images.labels.tolist()) == ("validation-00000-of-00001.parquet", [2, 1, 0])
    assert notes == [
        f"{tmp_path / 'hub'}: embeddings.parquet is of no split and left out",
        f"{tmp_path / 'hub' / 'data'}: 2 of 3 parts of train-00000-of-00003.parquet are there",
    ]
    assert len(opened(tmp_path / "hub", "train")[0]) == 6
    for number in (2, 10, 1):
        write(tmp_path / "x" / f"part-{number}.parquet", OWN, image=[png(number)], label=[0])
    assert values(opened(tmp_path / "x")[0]) == [1, 2, 10]
    write(tmp_path / "x" / "other.parquet", OWN, image=PICTURES, label=[0] * 3)
    with pytest.raises(TgrError, match=r"holds other.parquet, part-1.parquet, .*, none called after a split; name one"):
        opened(tmp_path / "x")
    for name in ("Testing", "test_small"):
        write(tmp_path / "two" / f"{name}.parquet", OWN, image=PICTURES, label=[0] * 3)
    with pytest.raises(TgrError, match=r"holds both Testing.parquet and test_small.parquet, and either could be evalu"):
        opened(tmp_path / "two")
    for split in ("train", "test"):
        write(tmp_path / "plain" / split / "0000.parquet", OWN, image=PICTURES, label=[split == "test"] * 3)
    assert opened(tmp_path / "plain")[0].labels.tolist() == [1, 1, 1]


def test_replacement_of_other_order_or_fewer_classes_is_set_right(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours.parquet", {"classes": "\n".join(NAMES)}, image=PICTURES, label=[0, 1, 2])
    theirs = write(tmp_path / "theirs.parquet", {"classes": "Cow\nant"}, image=PICTURES, label=[0, 1, 0])
    images, notes = opened(ours, eval_data=theirs)
    assert images.labels.tolist() == [2, 0, 2]
    assert notes[0] == f"--eval-data theirs.parquet: its classes are those of parquet:{ours} by name, in another order"
    words = write(tmp_path / "words.parquet", image=PICTURES, label=["goldfish", "n01440764", "goldfish"])
    heard = Heard()
    found = open_split(DataSource(eval_data=words), "eval", heard)
    assert found.labels.tolist() == [1, 0, 1]
    beyond = write(tmp_path / "beyond.parquet", {"classes": "bee\nant"}, image=PICTURES, label=[0, 1, 2])
    with pytest.raises(TgrError, match=r"image beyond/2 of beyond.parquet has label 2, where 0 to 1 are expected"):
        opened(ours, eval_data=beyond)


def test_a_file_below_a_folder_named_as_a_column(tmp_path: Path) -> None:
    images, _ = opened(write(tmp_path / "label=7" / "x.parquet", OWN, image=PICTURES, label=[0, 1, 2]))
    assert images.labels.tolist() == [0, 1, 2]


def test_class_names_composed_otherwise_are_the_same(tmp_path: Path) -> None:
    for split, form in (("train", "NFD"), ("test", "NFC")):
        names = "\n".join(unicodedata.normalize(form, name) for name in ("café", "thé"))
        write(tmp_path / "set" / f"{split}.parquet", {"classes": names}, image=PICTURES[:1], label=[1])
    for split in ("train", "eval"):
        images, notes = opened(tmp_path / "set", split)
        assert (images.classes, images.labels.tolist(), notes) == (("café", "thé"), [1], [])


def test_a_repository_of_the_hub_stands_in_for_a_split(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours.parquet", OWN, image=PICTURES, label=[0, 1, 2])
    write(tmp_path / "repo" / "data" / "train-0.parquet", hub({"names": NAMES[::-1]}), image=PICTURES, label=[0, 0, 0])
    write(tmp_path / "repo" / "data" / "test-0.parquet", hub({"names": NAMES[::-1]}), image=PICTURES, label=[0, 1, 2])
    assert opened(ours, eval_data=tmp_path / "repo")[0].labels.tolist() == [2, 1, 0]


def test_parts_whose_names_end_in_a_hash_are_one_table(tmp_path: Path) -> None:
    for number, its_hash in enumerate(("ab12cd34ef567890", "b12cd34ef567890a")):
        name = f"train-0000{number}-of-00002-{its_hash}.parquet"
        write(tmp_path / "data" / name, OWN, image=PICTURES, label=[0, 1, 2])
    images, notes = opened(tmp_path, "train")
    assert (images.labels.tolist(), notes) == ([0, 1, 2, 0, 1, 2], [])
