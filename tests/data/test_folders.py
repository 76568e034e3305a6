"""Real-world image folders: splits in any spelling, numbered classes, subsets of a data set, stray files."""

import os
import re
import unicodedata
from pathlib import Path

import pytest
from PIL import Image
from torchvision.models._meta import _IMAGENET_CATEGORIES

from tgr_cli.data.built_in import imagenet_wnids
from tgr_cli.data.datasets import DataSource, ImageSet, class_names, open_split
from tgr_cli.data.images import Split
from tgr_cli.data.split_names import of_file, of_folders
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter


class Heard(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def write(folder: Path, *files: str) -> Path:
    """Write a small image at each of these paths; a path that ends in / is an empty folder."""
    for file in files:
        path = folder / file
        (path if file.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not file.endswith("/"):
            Image.new("RGB", (3, 2)).save(path, "PNG")
    return folder


def opened(folder: Path, split: Split = "eval", **options: Path) -> tuple[ImageSet, list[str]]:
    heard = Heard()
    return open_split(DataSource(dataset=f"imagefolder:{folder}", **options), split, heard), heard.notes


def labelled(images: ImageSet) -> dict[str, int]:
    return dict(zip(images.ids, images.labels.tolist(), strict=True))


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


def test_numbered_folders_are_sorted_by_value(tmp_path: Path) -> None:
    images, notes = opened(write(tmp_path / "set", *(f"{n}/1.png" for n in range(12))))
    assert images.classes == tuple(map(str, range(12)))
    assert images.labels.tolist() == list(range(12))
    assert images.ids[2] == "2/1.png"
    assert notes == ["set: the class folders are numbers and taken as labels, from 0"]
    one, notes = opened(write(tmp_path / "one", "train/0010/1.png", "train/0009/1.png", "val/10/1.png"))
    assert (one.classes, labelled(one)) == (("0009", "0010"), {"10/1.png": 1})
    assert notes[0] == ("one: the class folders are numbers from 9 to 10: in this order they become the labels 0 to 1")
    _, notes = opened(write(tmp_path / "gaps", "1/1.png", "3/1.png"))
    assert notes[0].startswith("gaps: the class folders are numbers from 1 to 3 with gaps: in this order they become")
    text, notes = opened(write(tmp_path / "text", "c1/1.png", "c2/1.png", "c10/1.png"))
    assert text.classes == ("c1", "c10", "c2")  # as torchvision's ImageFolder sorts them
    assert notes == [
        'text: the class folders are sorted as text, so that "c10" comes before "c2"; --class-names FILE gives another '
        "order"
    ]


@pytest.mark.parametrize("option", ["--eval-data", "imagefolder with names", "the named data set"])
def test_the_number_of_a_folder_is_its_label_for_every_reader(tmp_path: Path, option: str) -> None:
    numbers = (2, 10, 482, 999)
    heard = Heard()
    if option == "imagefolder with names":
        (tmp_path / "names.txt").write_text("\n".join(f"class {n}" for n in range(1000)), encoding="utf-8")
        folder = write(tmp_path / "set", *(f"{n}/1.png" for n in numbers))
        source = DataSource(dataset=f"imagefolder:{folder}", class_names=tmp_path / "names.txt")
    elif option == "--eval-data":
        source = DataSource(eval_data=write(tmp_path / "val", *(f"{n:04}/1.png" for n in numbers)))
    else:
        write(tmp_path / "imagenet" / "Validation", *(f"{n}/1.png" for n in numbers))
        source = DataSource(data_root=tmp_path)
    images = open_split(source, "eval", heard)
    assert images.labels.tolist() == list(numbers)
    assert len(images.classes) == 1000
    assert any("the folder names are numbers and taken as labels, from 0" in note for note in heard.notes)
    assert any("has images of 4 of 1,000 classes" in note for note in heard.notes)


def test_numbers_from_one(tmp_path: Path) -> None:
    heard = Heard()
    folder = write(tmp_path / "one", *(f"{n}/1.png" for n in range(1, 11)))
    images = open_split(DataSource(dataset="fashion_mnist", eval_data=folder), "eval", heard)
    assert labelled(images)["10/1.png"] == 9
    assert heard.notes == [f"{folder}: the folder names are the numbers 1 to 10, so that 1 is taken as label 0"]
    for numbers, words in (
        ((1, 10), "one: the folder 10 is beyond the labels 0 to 9, and nothing says whether 1 stands for label 0"),
        ((0, 10), "one: the folder 10 is beyond the labels 0 to 9; name each folder after its class, or by its label"),
        ((3, 17), "one: the folder 17 is beyond the labels 0 to 9; name each"),
    ):
        part = write(tmp_path / str(numbers) / "one", *(f"{n}/1.png" for n in numbers))
        with pytest.raises(TgrError, match=re.escape(words)):
            open_split(DataSource(dataset="fashion_mnist", eval_data=part), "eval")
    every = write(tmp_path / "every", *(f"{n}/" for n in range(2, 1001)), "1/1.png")
    with pytest.raises(
        TgrError, match="every: the folder 1000 is beyond the labels 0 to 999, and nothing says whether"
    ):
        open_split(DataSource(eval_data=every), "eval")  # ILSVRC's own class numbers are in another order


def test_some_of_the_known_classes_keep_their_labels(tmp_path: Path) -> None:
    wnids = imagenet_wnids()
    heard = Heard()
    images = open_split(
        DataSource(eval_data=write(tmp_path / "val", *(f"{wnids[n]}/1.png" for n in (701, 0, 217)))), "eval", heard
    )
    assert sorted(images.labels.tolist()) == [0, 217, 701]
    assert heard.notes == [
        "--eval-data val (labels by folder name) has images of 3 of 1,000 classes: tench, English Springer Spaniel, "
        "parachute; they keep their labels among all"
    ]
    mixed = write(tmp_path / "mixed", f"{wnids[5]}/1.png", "great_white_shark/1.png", "Wool/1.png")
    found = labelled(open_split(DataSource(eval_data=mixed), "eval"))
    assert found == {f"{wnids[5]}/1.png": 5, "great_white_shark/1.png": 2, "Wool/1.png": 911}
    with pytest.raises(TgrError, match='"missile" is the name of imagenet\'s classes 657 and 744; give the folders'):
        open_split(DataSource(eval_data=write(tmp_path / "two", "missile/1.png", "tench/1.png")), "eval")
    with pytest.raises(TgrError, match='"n01440764" and "tench" name one class; merge these folders'):
        open_split(DataSource(eval_data=write(tmp_path / "same", "n01440764/1.png", "tench/1.png")), "eval")


def test_names_taken_by_place_only_where_they_agree(tmp_path: Path) -> None:
    ours = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    heard = Heard()
    folder = write(tmp_path / "a", *(f"{'car_sedan' if name == 'car' else name}/1.png" for name in ours))
    assert open_split(DataSource(dataset="stl10", eval_data=folder), "eval", heard).labels.tolist() == list(range(10))
    assert heard.notes == [
        f'{folder}: "car_sedan" is no name of stl10\'s classes; the folder names are taken in their order, so that '
        '"car_sedan" is 2 "car"'
    ]
    folder = write(tmp_path / "b", *(f"{'automobile' if name == 'car' else name}/1.png" for name in ours))
    with pytest.raises(TgrError, match='b holds the folder "automobile", which is no class of stl10; name each folder'):
        open_split(DataSource(dataset="stl10", eval_data=folder), "eval")  # in sorted order it would come before "bird"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("cat dog", "dogs kittens"), ("nine ten", "class_10 class_9"), ("cat dog emu", "cat hound rhea")],
)
def test_other_words_and_numbers_sorted_as_text_are_not_taken_by_place(ours: str, theirs: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "set", *(f"train/{name}/1.png" for name in ours.split()))
    write(folder, *(f"val/{name}/1.png" for name in theirs.split()))
    with pytest.raises(
        TgrError, match=rf'val holds the folders? "{theirs.split()[-2]}".* no class(es)? of imagefolder'
    ):
        opened(folder)


@pytest.mark.parametrize("names", ["n00000001 n00000002", "a1 a2", "class_08 class_10"])
def test_codes_are_taken_by_place_and_told(names: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "set", "train/cat/1.png", "train/dog/1.png")
    write(folder, *(f"val/{name}/1.png" for name in names.split()))
    images, notes = opened(folder)
    assert images.labels.tolist() == [0, 1]
    assert any("the folder names are taken in their order" in note for note in notes)


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


def test_class_names_give_order_and_keep_labels(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("dog\ncow\ncat\n", encoding="utf-8")
    images, _ = opened(write(tmp_path / "set", "Cat/1.png", "dog/1.png"), class_names=names)
    assert (images.classes, labelled(images)) == (("dog", "cow", "cat"), {"Cat/1.png": 2, "dog/1.png": 0})
    ours = class_names(DataSource(dataset="cifar10"))
    names.write_text("\n".join(["cat", *(name for name in ours if name != "cat")]), encoding="utf-8")
    with pytest.raises(
        TgrError, match='has "cat" in line 1, but cifar10 has it as class 3, line 4; write the names in'
    ):
        class_names(DataSource(dataset="cifar10", class_names=names))


def test_official_names_of_imagenet_rename_it(tmp_path: Path) -> None:
    """torchvision has the names Cardigan and cardigan for classes 264 and 474; here only 474 is a cardigan."""
    (tmp_path / "names.txt").write_text("\n".join(_IMAGENET_CATEGORIES), encoding="utf-8")
    source = DataSource(class_names=tmp_path / "names.txt", eval_data=write(tmp_path / "val", "n02113186/1.png"))
    images = open_split(source, "eval")
    assert (images.labels.tolist(), images.classes[264], images.classes[474]) == ([264], "Cardigan", "cardigan")


def test_folders_that_are_no_splits_are_left_out_and_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", "train/a/1.png", "val/a/1.png", "unlabeled/1.png", "docs/", "test/1.png")
    images, notes = opened(folder)
    assert (images.used, images.classes) == ("set/val", ("a",))
    assert notes == [f"{folder}: test, unlabeled left out, as no split with class folders"]


def test_letters_composed_otherwise_are_the_same_name(tmp_path: Path) -> None:
    for split, form in (("train", "NFC"), ("val", "NFD")):
        for name in ("café", "thé", "Ñu"):
            write(tmp_path / "set", f"{split}/{unicodedata.normalize(form, name)}/1.png")
    images, notes = opened(tmp_path / "set")
    assert (images.classes, images.labels.tolist()) == (("café", "thé", "Ñu"), [0, 1, 2])
    assert all(unicodedata.is_normalized("NFC", name) for name in (*images.ids, *images.classes))
    assert [images.image(n).size for n in range(3)] == [(3, 2)] * 3
    assert notes == []


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
