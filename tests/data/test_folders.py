"""Real-world image folders: splits in any spelling, folders that are no splits, stray files and links."""

import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image
from toys_class_folders import labelled, opened, write

from tgr_cli.data.datasets import DataSource, open_split
from tgr_cli.data.split_names import of_file, of_folders
from tgr_cli.errors import TgrError


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("TRAIN", "TEST"),
        ("train_set", "valid"),
        ("trainset", "Validation Set"),
        ("TrainImages", "ValImages"),
        ("train2017", "val2017"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("pets/pets/Training", "pets/pets/dev"),
        ("images/train", "images/eval"),
    ],
)
def test_splits_in_any_spelling_are_no_classes(tmp_path: Path, train: str, test: str) -> None:
    write(tmp_path / "set", f"{train}/cat/1.png", f"{train}/dog/1.png", f"{train}/dog/2.png", f"{test}/dog/1.png")
    write(tmp_path / "set", "__MACOSX/x/._1.png", ".ipynb_checkpoints/1.png", "labels/cat/")
    images, notes = opened(tmp_path / "set")
    assert images.classes == ("cat", "dog")
    assert labelled(images) == {"dog/1.png": 1}
    assert images.used == f"set/{test}"
    assert notes[-1] == f"set/{test} has images of 1 of 2 classes: none of cat"
    trained, _ = opened(tmp_path / "set", "train")
    assert labelled(trained) == {"cat/1.png": 0, "dog/1.png": 1, "dog/2.png": 1}


def test_words_of_splits() -> None:
    assert [of_file(name) for name in ("strain", "contest", "validate_train", "dev", "val-00000-of-00002")] == [
        *(None, None, None),
        *("val", "val"),
    ]
    assert of_folders(["bus", "train", "test tube", "seg_train"]) == {"train": "train"}
    assert of_folders(["seg_train", "seg_test", "seg_pred"]) == {"seg_train": "train", "seg_test": "test"}


@pytest.mark.parametrize("name", ["test", "train", "Val"])
def test_a_class_called_after_a_split_stays_a_class(tmp_path: Path, name: str) -> None:
    images, notes = opened(write(tmp_path / "set", "bus/1.png", "zebra/1.png", f"{name}/1.png"))
    assert sorted(images.classes) == sorted(("bus", "zebra", name))
    assert notes == [f'{tmp_path / "set"}: "{name}" is taken as a class, as it holds pictures itself']


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("train/1.png", "test/1.png"), "set holds test, train with pictures but no class folders in them; sort the"),
        (("Testing/1.png",), "set holds Testing with pictures but no class folders in it; sort the pictures into"),
        (("train/steam/1.png", "bus/city/1.png"), 'holds "train", which reads as a split, beside bus: rename "train"'),
        (
            ("train/a/1.png", "val/a/1.png", "test/a/1.png"),
            "set holds both test and val, and either could be evaluated",
        ),
        (("train/a/1.png", "Training/a/1.png"), r"has no evaluation split \(val/ or test/ was looked for in"),
        (("1.png", "2.png"), "set holds pictures but no folders; sort them into a folder for each class$"),
        (("café/1.png", unicodedata.normalize("NFD", "café") + "/1.png"), 'holds two folders for one class, "café"'),
        (("1/1.png", "01/1.png"), 'holds two folders for one class, "01" and "1"; merge them|"1" and "01"; merge'),
    ],
)
def test_folders_that_could_be_read_in_two_ways_are_refused(tmp_path: Path, files: tuple[str, ...], words: str) -> None:
    with pytest.raises(TgrError, match=words) as caught:
        opened(write(tmp_path / "set", *files))
    assert "\n" not in str(caught.value)


def test_two_training_folders_are_refused_only_where_training_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "set", "train/a/1.png", "Training/a/1.png", "val/a/1.png")
    assert len(opened(tmp_path / "set")[0]) == 1
    with pytest.raises(TgrError, match="holds both Training and train, and either could be trained on; choose with --"):
        opened(tmp_path / "set", "train")


def test_replaced_splits_are_found_in_folders_too(tmp_path: Path) -> None:
    theirs = write(tmp_path / "theirs", "Training/Dog/1.png", "Testing/cat/1.png", "Testing/cat/2.png")
    ours = write(tmp_path / "ours", "train/cat/1.png", "train/dog/1.png", "val/dog/1.png", "test/dog/1.png")
    images, notes = opened(ours, eval_data=theirs)
    assert labelled(images) == {"cat/1.png": 0, "cat/2.png": 0}
    assert images.used == "--eval-data theirs/Testing (labels by folder name)"
    assert any("Testing, Training are taken as splits" in note for note in notes)
    assert labelled(opened(ours, "train", train_data=theirs)[0]) == {"Dog/1.png": 1}
    assert labelled(opened(ours, eval_data=ours / "test")[0]) == {"dog/1.png": 1}


def test_splits_wrapped_in_folders_of_their_own_name(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "set", *(f"{s}_set/{s}_set/{c}/{s}.png" for s in ("training", "test") for c in ("cat", "dog"))
    )
    for split, word in (("train", "training"), ("eval", "test")):
        images, _ = opened(folder, split)  # type: ignore[arg-type]
        assert labelled(images) == {f"cat/{word}.png": 0, f"dog/{word}.png": 1}


def test_class_folders_that_hold_the_same_folders(tmp_path: Path) -> None:
    inside = write(tmp_path / "a", *(f"{c}/{s}/1.png" for s in ("train", "test") for c in ("cat", "dog")))
    with pytest.raises(TgrError, match="a has the splits test, train within each class folder; sort the pictures into"):
        opened(inside)
    folds = write(tmp_path / "b", *(f"fold_{n}/{c}/1.png" for n in (1, 2) for c in ("cat", "dog")))
    images, notes = opened(folds)
    assert images.classes == ("fold_1", "fold_2")
    assert [n for n in notes if "are taken as the classes, and each holds the folders cat, dog" in n]
    write(tmp_path / "c", "cat/indoors/1.png", "cat/outdoors/1.png", "dog/indoors/1.png")
    assert not opened(tmp_path / "c")[1]


def test_folders_that_are_no_splits_are_left_out_and_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", "train/a/1.png", "val/a/1.png", "unlabeled/1.png", "docs/", "test/1.png")
    images, notes = opened(folder)
    assert (images.used, images.classes) == ("set/val", ("a",))
    assert notes == [f"{folder}: test, unlabeled left out, as no split with class folders"]


def test_pictures_of_all_suffixes_are_read_and_the_rest_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", "ant/1.png", "ant/deep/2.png", "bee/", "cow/notes.png", "9.png")
    (folder / "cow" / "notes.png").rename(folder / "cow" / "notes.heic")
    (folder / "ant" / "README").write_text("x")
    (folder / "ant" / "broken.png").symlink_to("nowhere")
    os.mkfifo(folder / "ant" / "pipe.png")
    (folder / "ant" / "._1.png").write_text("x")
    kinds = {"a.GIF": "GIF", "b.tif": "TIFF", "c.jfif": "JPEG", "d.JPEG": "JPEG", "e.bmp": "BMP", "f.webp": "WEBP"}
    for name, kind in (kinds | {"g.pgm": "PPM", "h.jp2": "JPEG2000"}).items():
        Image.new("L", (4, 5)).save(folder / "ant" / name, kind)
    images, notes = opened(folder)
    assert len(images) == 10
    assert {images.image(n).size for n in range(10)} == {(3, 2), (4, 5)}
    assert notes == [
        "set: 5 of 15 files are left out: 2 .png (no regular file, or a broken link), 1 without a suffix, 1 .heic, "
        "which cannot be opened as pictures; 1 beside the class folders, without a class",
        "set has images of 1 of 3 classes: ant; they keep their labels among all",
    ]
    (folder / "ant").rename(tmp_path / "ant")
    with pytest.raises(
        TgrError, match=r"^set holds no image that can be opened, but 1 .heic; convert them, to PNG for"
    ):
        opened(folder)


def test_first_picture_of_several_and_no_turning(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", "a/", "b/1.png")
    frames = [Image.new("L", (4, 6), value) for value in (10, 200)]
    frames[0].save(folder / "a" / "1.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "a" / "2.tiff", save_all=True, append_images=frames[1:])
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (4, 6)).save(folder / "a" / "3.jpg", exif=turned)
    images, _ = opened(folder)
    assert [images.image(n).convert("L").getpixel((0, 0)) for n in (0, 1)] == [10, 10]
    assert images.image(2).size == (4, 6)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", "a/1.png", "b/1.png")
    (folder / "a" / "again").symlink_to(folder / "a")
    (tmp_path / "linked").symlink_to(folder)
    assert opened(tmp_path / "linked")[0].ids == ("a/1.png", "b/1.png")


def test_unsorted_imagenet_says_how_it_is_sorted(tmp_path: Path) -> None:
    write(tmp_path / "imagenet", "val/ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(TgrError, match=r"val holds pictures but no folders; .*: torchvision.datasets.ImageNet\(FOLDER"):
        open_split(DataSource(data_root=tmp_path), "eval")


@pytest.mark.parametrize("kind", ["imagefolder", "parquet"])
def test_what_is_found_instead_is_said(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    found = {"/dev/null": "is a device", "pipe": "is a named pipe", "link": "is a link that leads nowhere"}
    for path, words in (found | {"nothing": "does not exist"}).items():
        place = tmp_path / path
        with pytest.raises(TgrError, match=f"^{place} {words}; name a"):
            open_split(DataSource(dataset=f"{kind}:{place}"), "eval")
        with pytest.raises(TgrError, match=f"^--eval-data {place} {words}; name a"):
            open_split(DataSource(dataset="digits", eval_data=place), "eval")
