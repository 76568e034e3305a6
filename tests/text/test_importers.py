"""Descriptions from other tools' files: matching classes by name."""

import gzip
import json
import re
from pathlib import Path

import pytest

from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.steps import describe
from tgr_cli.text.importers import Imported

CLASSES = ("red dot", "bar", "ring")
CSV = 'class,question,description\nbar,Why?,"A bar, long."\nRed_Dot,,A dot.\nring,Who?,A ring.\nbar,How?,Bars.\n'


class Heard(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def imported(
    name: str, content: str, classes: tuple[str, ...] = CLASSES
) -> tuple[list[tuple[int, str, str]], list[str]]:
    Path(name).write_text(content, encoding="utf-8")
    heard = Heard()
    found = Imported(Path(name)).describe(classes, heard)
    return [(d.class_index, d.question, d.text) for d in found], heard.notes


def test_csv_with_questions() -> None:
    rows, notes = imported("d.csv", CSV)
    assert rows == [(0, "", "A dot."), (1, "Why?", "A bar, long."), (1, "How?", "Bars."), (2, "Who?", "A ring.")]
    assert notes == []


def test_json_and_what_does_not_match() -> None:
    entries = {
        "ring": ["A \x1b[1mring."],
        "dot": ["no"],
        "bar": ["A bar.", "Bars."],
        "RED-DOT": ["A dot."],
        "disc": ["no"],
    }
    rows, notes = imported("d.json", "\ufeff" + json.dumps(entries))
    assert rows == [(0, "", "A dot."), (1, "", "A bar."), (1, "", "Bars."), (2, "", "A ring.")]
    assert notes == [
        'd.json describes 2 classes that this data set does not have: "dot", "disc"',
        "1 descriptions of d.json were cleaned of control characters, or cut",
    ]


def test_what_a_model_thinks_or_declines_is_no_description_of_a_file_either() -> None:
    entries = {
        "bar": ["<think>Hm.</think>A bar.", "I'm sorry, but I can't describe that.", "**Bar:** A bar, lying."],
        "ring": ["A ring."],
    }
    rows, notes = imported("d.json", json.dumps(entries), ("bar", "ring"))
    assert rows == [(0, "", "A bar."), (0, "", ""), (0, "", "A bar, lying."), (1, "", "A ring.")]
    assert notes == [
        "2 descriptions of d.json had thoughts, markup or phrases around them taken off",
        "1 entries of d.json hold no description (1 refused), as 'I'm sorry, but I can't describe that.'",
    ]


def test_two_classes_of_one_name_share_and_it_is_said() -> None:
    rows, notes = imported("d.json", '{"bar": ["A bar."]}', ("bar", "bar"))
    assert rows == [(0, "", "A bar."), (1, "", "A bar.")]
    assert notes == ['classes of one name have the same descriptions: "bar"']


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("d.txt", "", "d.txt is neither .json nor .csv"),
        ("d.json", "{", "d.json is not valid JSON"),
        ("d.json", "[" * 100_000, "d.json is not valid JSON"),
        ("d.json", "[]", "holds no JSON object"),
        ("d.json", "{}", "describes no class"),
        ("d.json", '{"bar": "A bar."}', 'what "bar" has is no list of sentences'),
        ("d.json", '{"bar": []}', 'what "bar" has is no list of sentences'),
        ("d.json", '{"bar": ["x"], "bar": ["y"]}', '"bar" stands there twice'),
        (
            "d.json",
            '{"bar": ["x"], "rings": ["y"]}',
            'none of "red dot", "ring", 2 of 3 classes; it has "rings" left over',
        ),
        ("d.json", '{"Bar": ["x"], "BAR": ["y"]}', 'd.json has "Bar", "BAR", and either could be "bar"'),
        ("d.csv", "", "begins with nothing"),
        ("d.csv", "name,text\nbar,x\n", "begins with name,text; its first line should be class,description"),
        ("d.csv", "class,description\nbar\n", "line 2: 2 cells are expected"),
        ("d.csv", "class,description\nbar,x,y\n", "line 2: 2 cells are expected"),
        ("d.csv", 'class,description\nbar,"x"y\n', "is no valid CSV"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(name: str, content: str, words: str) -> None:
    with pytest.raises(TgrError, match=re.escape(words)) as caught:
        imported(name, content)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read() -> None:
    Path("torn.json.gz").write_bytes(gzip.compress(b'{"bar": ["A bar."]}')[:-9])
    Path("latin.csv").write_bytes(b"class,description\nbar,caf\xe9\n")
    Path("folder.json").mkdir()
    for name, words in {
        "missing.json": "does not exist",
        "torn.json.gz": "is no whole gzip file",
        "latin.csv": r"is no UTF-8 text \(byte 0xe9 at 25\)",
        "folder.json": "is a folder",
    }.items():
        with pytest.raises(TgrError, match=f"{name} {words}; name a JSON or CSV file of descriptions with --from-file"):
            Imported(Path(name))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("dataset", "file", "left_out", "notes"),
    [
        (
            "cifar10",
            "cupl_cifar10_base.json",
            1,
            [
                "1 descriptions of FILE had thoughts, markup or phrases",
                "1 entries of FILE hold no description (1 refused), as 'Are you asking for physical",
            ],
        ),
        (
            "cifar100",
            "cupl_cifar100_base.json",
            1,
            [
                "2 descriptions of FILE had thoughts, markup or phrases",
                "1 entries of FILE hold no description (1 refused), as 'I cannot describe an aquarium fish.'",
            ],
        ),
        (
            "imagenet",
            "cupl_imagenet_base.json.gz",
            19,
            [
                'classes of one name have the same descriptions: "missile", "sunglasses"',
                "25 descriptions of FILE had thoughts, markup or phrases",
                "19 entries of FILE hold no description (12 refused, 7 unusable), as '",
            ],
        ),
    ],
)
def test_cupl_s_own_files(dataset: str, file: str, left_out: int, notes: list[str], shared_data: Path) -> None:
    heard = Heard()
    data = DataSource(dataset=dataset)
    result = describe.run(describe.Config(data=data, from_file=shared_data / "descriptions" / file), heard)
    # 30 sentences per class (data/README.md: CuPL)
    assert (result.source, len(result.descriptions)) == ("imported", 30 * len(result.classes))
    assert (len(result.missing), result.undescribed) == (left_out, ())
    assert len(heard.notes) == len(notes)
    assert all(told.startswith(note.replace("FILE", file)) for told, note in zip(heard.notes, notes, strict=True))


@pytest.mark.shared
def test_classes_that_cupl_does_not_describe_are_named(shared_data: Path) -> None:
    file = shared_data / "descriptions" / "cupl_cifar10_base.json"
    with pytest.raises(TgrError, match=r'describes none of "car", "monkey", 2 of 10 .* "automobile", "frog" left over'):
        describe.run(describe.Config(data=DataSource(dataset="stl10"), from_file=file))
    assert not Path("runs/stl10/descriptions.parquet").exists()
