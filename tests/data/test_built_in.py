"""The eight named data sets and the digits, on small copies in torchvision's formats."""

import json
import shutil
import socket
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from tgr_cli.data import built_in, digits
from tgr_cli.data.datasets import NAMED, DataSource, class_names, open_split
from tgr_cli.errors import TgrError

CLASSES = {"imagenet": 1000, "cifar10": 10, "cifar100": 100, "food101": 101, "stl10": 10, "mnist": 10} | {
    "fashion_mnist": 10,
    "gtsrb": 43,
    "digits": 10,
}
SIZES = {"cifar10": (32, 32), "cifar100": (32, 32), "food101": (30, 20), "stl10": (96, 96)} | {
    "mnist": (28, 28),
    "fashion_mnist": (28, 28),
}


def test_names_ship_for_all() -> None:
    assert {name: len(class_names(DataSource(dataset=name))) for name in NAMED} == CLASSES
    assert {name: built_in.class_count(name) for name in NAMED} == CLASSES
    for name in NAMED:
        assert all(text == text.strip() and text for text in class_names(DataSource(dataset=name)))
    # open_clip 3.3: two names occur twice
    assert len(set(class_names(DataSource(dataset="imagenet")))) == 998
    assert class_names(DataSource(dataset="stl10"))[2] == "car"
    assert class_names(DataSource(dataset="food101"))[:2] == ("apple pie", "baby back ribs")
    assert class_names(DataSource(dataset="gtsrb"))[14] == "stop sign"
    # torchvision sorts Food101's folders, where "_" comes before letters
    folders = [name.replace(" ", "_") for name in class_names(DataSource(dataset="food101"))]
    assert folders == sorted(folders)


@pytest.mark.parametrize("name", list(built_in.READERS))
def test_reads_torchvisions_formats(name: str, named_root: Path) -> None:
    for split, word, count in (("train", "train", 10), ("eval", "test", 4)):
        images = open_split(DataSource(dataset=name, data_root=named_root), split)
        assert images.ids == tuple(f"{word}/{number:05}" for number in range(count))
        assert images.used == f"the {word} split of {name}"
        assert images.labels.dtype == np.int64
        assert len(images.classes) == CLASSES[name]
        pictures = [images.image(number) for number in range(count)]
        assert pictures[0].size == SIZES.get(name, pictures[0].size)
        assert {picture.mode for picture in pictures} == {"L" if "mnist" in name else "RGB"}
        assert len({picture.tobytes() for picture in pictures}) == count
        again = open_split(DataSource(dataset=name, data_root=named_root), split)
        assert again.ids == images.ids
        assert (again.labels == images.labels).all()
        assert again.image(1).tobytes() == pictures[1].tobytes()


def test_reads_the_very_pixels_and_labels(named_root: Path) -> None:
    images = open_split(DataSource(dataset="mnist", data_root=named_root), "eval")
    raw = (named_root / "MNIST/raw/t10k-images-idx3-ubyte").read_bytes()
    assert images.image(1).tobytes() == raw[16 + 784 : 16 + 2 * 784]
    assert images.labels.tolist() == [0, 1, 2, 3]
    assert open_split(DataSource(dataset="cifar10", data_root=named_root), "train").labels[:4].tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("name", list(built_in.READERS))
def test_missing_says_where_and_how(name: str, tmp_path: Path) -> None:
    place = tmp_path / built_in.READERS[name].folder
    with pytest.raises(TgrError) as caught:
        open_split(DataSource(dataset=name, data_root=tmp_path), "eval")
    assert str(caught.value) == (
        f"{name} was looked for at {place} and is not there; "
        "name its root with --data-root or TGR_DATA, or get it with --download"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", list(built_in.READERS))
def test_damaged_says_so(name: str, tmp_path: Path) -> None:
    (tmp_path / built_in.READERS[name].folder).mkdir(parents=True)
    with pytest.raises(TgrError, match=rf"^{name} at .* is incomplete or damaged; .* get it again with --download$"):
        open_split(DataSource(dataset=name, data_root=tmp_path), "eval")


@pytest.mark.parametrize("name", list(built_in.READERS))
def test_download_without_network_fails_in_a_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    timeouts = []

    def unreachable(*_: object, **__: object) -> None:
        timeouts.append(socket.getdefaulttimeout())
        raise URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(TgrError, match=rf"^{name} could not be downloaded to .*no route.*; check the network"):
        open_split(DataSource(dataset=name, data_root=tmp_path, download=True), "eval")
    assert set(timeouts) == {built_in.DOWNLOAD_TIMEOUT}
    assert socket.getdefaulttimeout() is None
    assert capsys.readouterr().out == ""


def test_index_that_leads_outside_is_refused(named_root: Path, tmp_path: Path) -> None:
    shutil.copytree(named_root / "food-101", tmp_path / "food-101")
    index = tmp_path / "food-101" / "meta" / "test.json"
    names = json.loads(index.read_text())
    names["apple_pie"] = ["../../../secret"]
    index.write_text(json.dumps(names))
    with pytest.raises(TgrError, match="lies outside of it; get the data set again"):
        open_split(DataSource(dataset="food101", data_root=tmp_path), "eval")


@pytest.mark.parametrize("below", ["imagenet", "."])
def test_imagenet_is_folders_in_sorted_order(below: str, tmp_path: Path) -> None:
    for number in reversed(range(1000)):
        (tmp_path / below / "val" / f"n{number:08}").mkdir(parents=True)
    for number in (999, 3, 3, 500):
        Image.new("RGB", (4, 4), (number % 256, 0, 0)).save(
            tmp_path / below / "val" / f"n{number:08}" / f"ILSVRC2012_val_{number}.JPEG"
        )
    images = open_split(DataSource(data_root=tmp_path), "eval")
    assert images.ids == tuple(f"n{n:08}/ILSVRC2012_val_{n}.JPEG" for n in (3, 500, 999))
    assert images.labels.tolist() == [3, 500, 999]
    assert (images.classes[0], images.used) == ("tench", "the val split of imagenet")
    assert abs(images.image(0).getpixel((0, 0))[0] - 3) <= 2


def test_imagenet_missing_or_short(tmp_path: Path) -> None:
    with pytest.raises(TgrError) as caught:
        open_split(DataSource(data_root=tmp_path), "eval")
    assert str(caught.value).startswith(f"imagenet was looked for at {tmp_path / 'imagenet' / 'val'} and is not there;")
    with pytest.raises(TgrError, match=r"^imagenet cannot be downloaded by a program and was looked for at"):
        open_split(DataSource(data_root=tmp_path, download=True), "train")
    (tmp_path / "imagenet" / "val" / "n01440764").mkdir(parents=True)
    with pytest.raises(TgrError, match="the val split of imagenet holds no image; give a data set with at least one"):
        open_split(DataSource(data_root=tmp_path), "eval")


def test_digits_splits_are_fixed_and_apart() -> None:
    train, test = (open_split(DataSource(dataset="digits"), split) for split in ("train", "eval"))
    numbers = [int(name.split("/")[1]) for name in (*train.ids, *test.ids)]
    assert sorted(numbers) == list(range(1797))
    assert (len(train), len(test)) == (1438, 359)
    # scikit-learn has 174 to 183 images of each digit: a fifth of each
    assert set(Counter(test.labels.tolist()).values()) <= {35, 36, 37}
    assert test.image(0).mode == "L"


def test_digits_are_those_of_scikit_learn_wherever_it_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.datasets import load_digits

    source = load_digits()
    monkeypatch.setattr(digits, "_stored", digits._stored.__wrapped__)  # reads anew each time
    for place in (digits.STORED, Path("elsewhere")):
        monkeypatch.setattr(digits, "STORED", place)
        for split in ("train", "eval"):
            found = open_split(DataSource(dataset="digits"), split)
            for row in range(0, len(found), 50):
                number = int(found.ids[row].split("/")[1])
                assert (np.asarray(found.image(row)) == np.round(source.images[number] * 255 / 16)).all()
                assert found.labels[row] == source.target[number]
