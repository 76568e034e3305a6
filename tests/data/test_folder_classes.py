"""Names of class folders: numbers, names and codes of known classes, letters composed otherwise."""

import re
import unicodedata
from pathlib import Path

import pytest
from torchvision.models._meta import _IMAGENET_CATEGORIES
from toys_class_folders import Heard, labelled, opened, write

from tgr_cli.data.built_in import imagenet_wnids
from tgr_cli.data.datasets import DataSource, class_names, open_split
from tgr_cli.errors import TgrError


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


def test_letters_composed_otherwise_are_the_same_name(tmp_path: Path) -> None:
    for split, form in (("train", "NFC"), ("val", "NFD")):
        for name in ("café", "thé", "Ñu"):
            write(tmp_path / "set", f"{split}/{unicodedata.normalize(form, name)}/1.png")
    images, notes = opened(tmp_path / "set")
    assert (images.classes, images.labels.tolist()) == (("café", "thé", "Ñu"), [0, 1, 2])
    assert all(unicodedata.is_normalized("NFC", name) for name in (*images.ids, *images.classes))
    assert [images.image(n).size for n in range(3)] == [(3, 2)] * 3
    assert notes == []
