"""Data sets given by path: their splits, ids and labels, replaced splits, and renamed classes."""

import io
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from toys import CLASSES, toy_images, write_toy_dataset, write_toy_parquet
from toys_datasets import encoded, write, write_folders

from tgr_cli.data.datasets import DataSource, class_names, open_split
from tgr_cli.errors import TgrError


def test_parquet_folder_has_both_splits(tmp_path: Path) -> None:
    source = DataSource(dataset=f"parquet:{write_toy_dataset(tmp_path / 'toys')}")
    train, test = open_split(source, "train"), open_split(source, "eval")
    assert (len(train), len(test), train.used, test.used) == (60, 30, "train.parquet", "test.parquet")
    assert train.classes == test.classes == class_names(source) == CLASSES
    assert test.ids == tuple(f"toy/{n}.png" for n in range(30))
    pictures, labels = toy_images(30, seed=2)
    assert test.labels.tolist() == labels
    assert [test.image(n).tobytes() for n in range(30)] == [picture.tobytes() for picture in pictures]
    assert source.folder == "toys"


def test_parquet_lone_file_is_for_evaluation(tmp_path: Path) -> None:
    path = write_toy_parquet(tmp_path / "mine.parquet")
    source = DataSource(dataset=f"parquet:{path}")
    assert open_split(source, "eval").used == "mine.parquet"
    assert source.folder == "mine"
    with pytest.raises(TgrError, match=r"^parquet:.*mine.parquet has no training split .* --train-data$"):
        open_split(source, "train")
    trained = open_split(DataSource(dataset=f"parquet:{path}", train_data=path), "train")
    assert (trained.split, trained.used) == ("train", "--train-data mine.parquet")


def test_parquet_parts_follow_each_other_and_rows_name_images(tmp_path: Path, png: bytes) -> None:
    for number in (2, 1):
        labels = pa.array([0, 1], pa.int8())
        write(tmp_path / f"val-{number}.parquet", image=pa.array([png, png], pa.large_binary()), label=labels)
    images = open_split(DataSource(dataset=f"parquet:{tmp_path}"), "eval")
    assert images.ids == ("val-1/0", "val-1/1", "val-2/0", "val-2/1")
    assert images.labels.dtype == np.int64
    assert images.used == "val-1.parquet, val-2.parquet"


@pytest.mark.parametrize(
    ("kind", "modes"),
    [
        ("PNG", "1 L P RGB RGBA"),
        ("JPEG", "L RGB CMYK"),
        ("WEBP", "L RGB RGBA"),
        ("BMP", "1 L P RGB"),
        ("GIF", "1 L P RGB"),
        ("TIFF", "1 L P RGB RGBA CMYK"),
        ("PPM", "1 L RGB"),
    ],
)
def test_pictures_of_every_kind_become_grey_or_rgb(tmp_path: Path, kind: str, modes: str) -> None:
    white = Image.new("RGB", (6, 5), (255, 255, 255))
    data = [encoded(white.convert(mode), kind) for mode in modes.split()]
    path = write(tmp_path / "x.parquet", image=data, label=[0] * len(data))
    images = open_split(DataSource(dataset=f"parquet:{path}"), "eval")
    for number in range(len(images)):
        image = images.image(number)
        assert image.size == (6, 5)
        assert image.mode in ("L", "RGB")
        assert np.asarray(image).min() >= 253  # JPEG is lossy by a grey level or two


def test_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4), (10, 20, 30)).quantize(4)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=bytes([0, 255, 255, 255]))
    path = write(tmp_path / "x.parquet", image=[buffer.getvalue()], label=[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = open_split(DataSource(dataset=f"parquet:{path}"), "eval").image(0)
    assert found.getpixel((0, 0)) == (10, 20, 30)


def test_imagefolder_splits_ids_and_labels(tmp_path: Path) -> None:
    write_folders(tmp_path / "set" / "train", {"cat": 2, "ant": 1, "bee": 1})
    write_folders(tmp_path / "set" / "val", {"cat": 2, "bee": 1})
    (tmp_path / "set" / "val" / "cat" / "notes.txt").write_text("no picture")
    source = DataSource(dataset=f"imagefolder:{tmp_path / 'set'}")
    train, val = open_split(source, "train"), open_split(source, "eval")
    assert class_names(source) == train.classes == val.classes == ("ant", "bee", "cat")
    assert train.ids == ("ant/0.png", "bee/0.png", "cat/0.png", "cat/1.png")
    assert (val.ids, val.labels.tolist()) == (("bee/0.png", "cat/0.png", "cat/1.png"), [1, 2, 2])
    assert val.image(2).getpixel((0, 0)) == (1, 0, 0)
    assert (train.used, val.used) == ("set/train", "set/val")


def test_flat_imagefolder_is_for_evaluation(tmp_path: Path) -> None:
    source = DataSource(dataset=f"imagefolder:{write_folders(tmp_path / 'flat', {'x': 1, 'y': 2})}")
    assert open_split(source, "eval").labels.tolist() == [0, 1, 1]
    with pytest.raises(TgrError, match=r"has no training split \(train/ was looked for in .*--train-data$"):
        open_split(source, "train")


def test_replaced_splits_keep_the_data_sets_classes(tmp_path: Path) -> None:
    source = DataSource(dataset="mnist", eval_data=write_toy_parquet(tmp_path / "t.parquet"))
    words = r'^--eval-data .*t.parquet holds the classes "dot", "bar", "ring", which are no classes of mnist; name each'
    with pytest.raises(TgrError, match=words):
        open_split(source, "eval")
    digits = write_folders(tmp_path / "digits", {str(n): 1 for n in range(10)})
    images = open_split(DataSource(dataset="mnist", eval_data=digits), "eval")
    assert (images.classes[9], images.labels.tolist()) == ("nine", list(range(10)))
    assert images.used == "--eval-data digits (labels by folder number)"
    clothes = write_folders(tmp_path / "clothes", {"Bag": 1, "Ankle_boot": 1})
    images = open_split(DataSource(dataset="fashion_mnist", eval_data=clothes), "eval")
    assert (images.ids, images.labels.tolist()) == (("Ankle_boot/0.png", "Bag/0.png"), [9, 8])
    assert images.used == "--eval-data clothes (labels by folder name)"
    some = write_folders(tmp_path / "some", {"Bag": 1, "hat": 1})
    with pytest.raises(
        TgrError, match='holds the folder "hat", which is no class of fashion_mnist; name each folder after one of'
    ):
        open_split(DataSource(dataset="fashion_mnist", eval_data=some), "eval")


def test_replacement_with_a_class_at_another_place_is_refused(tmp_path: Path, png: bytes) -> None:
    ours = write(tmp_path / "ours.parquet", image=[png], label=[0], classes="a\nb")
    theirs = write(tmp_path / "theirs.parquet", image=[png], label=[0], classes="b\nc")
    with pytest.raises(TgrError, match=r'theirs.parquet holds the class "c", which is no class of parquet:.*ours'):
        open_split(DataSource(dataset=f"parquet:{ours}", eval_data=theirs), "eval")


def test_replacement_with_names_of_another_kind_is_taken_by_position(tmp_path: Path, png: bytes) -> None:
    ours = write(tmp_path / "ours.parquet", image=[png], label=[0], classes="a\nb")
    theirs = write(tmp_path / "theirs.parquet", image=[png], label=[1], classes="n01\nn02")
    images = open_split(DataSource(dataset=f"parquet:{ours}", eval_data=theirs), "eval")
    assert (images.classes, images.labels.tolist()) == (("a", "b"), [1])


def test_class_names_file_renames(tmp_path: Path, png: bytes) -> None:
    names = tmp_path / "names.txt"
    names.write_text("Punkt\nBalken \nRing\n", encoding="utf-8")
    data = write_toy_dataset(tmp_path / "toys")
    source = DataSource(dataset=f"parquet:{data}", class_names=names)
    assert open_split(source, "eval").classes == class_names(source) == ("Punkt", "Balken", "Ring")
    with pytest.raises(TgrError, match=r"names.txt has 3 names where cifar10 has 10 classes; give one"):
        class_names(DataSource(dataset="cifar10", class_names=names))
    names.write_text("a\n\nb")
    with pytest.raises(TgrError, match="has an empty line 2; give one class name a line"):
        class_names(source)
    with pytest.raises(TgrError, match="is a folder; give --class-names a text file with one class name a line"):
        class_names(DataSource(dataset="cifar10", class_names=tmp_path))
    nameless = write(tmp_path / "nameless.parquet", image=[png], label=[1], classes=None)
    with pytest.raises(TgrError, match='names no classes in its metadata "classes"; give them with --class-names'):
        class_names(DataSource(dataset=f"parquet:{nameless}"))
    names.write_text("a\nb")
    assert open_split(DataSource(dataset=f"parquet:{nameless}", class_names=names), "eval").classes == ("a", "b")


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("cifar11", r'^there is no data set "cifar11"; use imagenet, .* Did you mean "cifar10"\?$'),
        ("parquet:", '^there is no data set "parquet:"; use imagenet'),
        ("mine", r'^there is no data set "mine".* To use a path, write "imagefolder:mine" or "parquet:mine"\.$'),
    ],
)
def test_unknown_names(dataset: str, words: str) -> None:
    Path("mine").mkdir()
    with pytest.raises(TgrError, match=words):
        DataSource(dataset=dataset)


def test_folder_in_the_workdir() -> None:
    assert DataSource(dataset="cifar10").folder == "cifar10"
    assert DataSource(dataset="parquet:/somewhere/my set").folder == "my-set"
    assert DataSource(dataset="imagefolder:/somewhere/birds/").folder == "birds"
    assert DataSource(dataset="imagefolder:/somewhere/birds", name="owls").folder == "owls"


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "classes", "train", "test"),
    [
        ("cifar10", 10, 25_000, 10_000),
        ("gtsrb", 43, 1720, 1720),
        ("tiny_imagenet", 200, 4000, 5000),
        ("mnist", 10, 10_000, 10_000),
    ],
)
def test_real_data(shared_data: Path, name: str, classes: int, train: int, test: int) -> None:
    source = DataSource(dataset=f"parquet:{shared_data / name}")
    for split, count in (("train", train), ("eval", test)):
        images = open_split(source, split)
        assert (len(images), len(set(images.ids)), len(set(images.labels))) == (count, count, classes)
        assert images.image(count - 1).mode == ("L" if name == "mnist" else "RGB")
    if name == "cifar10":
        assert class_names(source) == class_names(DataSource(dataset="cifar10"))


@pytest.mark.shared
def test_real_imagenet_sample_stands_in_for_imagenet(shared_data: Path) -> None:
    source = DataSource(eval_data=shared_data / "imagenet_sample" / "images.parquet")
    images = open_split(source, "eval")
    assert (images.ids[1], images.classes[images.labels[1]]) == ("n01443537_goldfish.JPEG", "goldfish")
    assert min(images.image(1).size) == 256
