"""Matching rows of a stored matrix by number and by name."""

import re
from pathlib import Path

import pytest

from tgr_cli.data import built_in
from tgr_cli.data.row_names import by_name, by_number
from tgr_cli.errors import TgrError


def test_numbers_pick_and_order(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("2\n\n0\n", encoding="utf-8")
    assert by_number(tmp_path / "rows.txt", 3, 2) == [2, 0]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("0\nx\n", 'line 2: "x" is no row number'),
        ("-1\n0\n", 'line 1: "-1" is no row number'),
        ("0\n4\n", "asks for row 4 of a matrix that has 4, counted from 0"),
        ("0\n", "picks 1 rows for 2 classes"),
    ],
)
def test_bad_numbers_are_refused(tmp_path: Path, lines: str, words: str) -> None:
    (tmp_path / "rows.txt").write_text(lines, encoding="utf-8")
    with pytest.raises(TgrError, match=re.escape(words)):
        by_number(tmp_path / "rows.txt", 4, 2)
    with pytest.raises(TgrError, match="does not exist; give a text file with one row number a line"):
        by_number(tmp_path / "none.txt", 4, 2)


def test_imagenet_rows_are_found_by_wnid_and_by_name() -> None:
    """ILSVRC 2012: n01443537 is class 1, goldfish; n02504458 is class 386, African bush elephant."""
    assert by_name("imagenet", 1000, ["n02504458", "n01443537"]) == [386, 1]
    assert by_name("imagenet", 1000, ["African_bush_elephant", "Goldfish"]) == [386, 1]
    wnids = built_in.imagenet_wnids()
    assert list(wnids) == sorted(wnids)
    assert len(wnids) == len(built_in.class_names("imagenet"))


def test_names_from_a_file_and_of_another_data_set(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("ship\nfrog\ncat\n", encoding="utf-8")
    assert by_name(str(tmp_path / "names.txt"), 3, ["cat", "ship"]) == [2, 0]
    assert by_name("cifar10", 10, ["truck", "airplane"]) == [9, 0]


@pytest.mark.parametrize(
    ("row_names", "rows", "classes", "words"),
    [
        ("imagenet", 1000, ["missile"], '"missile" is the name of rows 657 and 744; pick rows by number with --rows'),
        ("imagenet", 1000, ["tench", "unicorn"], '"unicorn" is no row\'s name by --row-names imagenet'),
        ("cifar10", 10, ["elf", "orc"], '"elf" and 1 more classes are no row\'s name'),
        ("imagenet", 200, ["tench"], "--row-names imagenet names 1000 rows, the matrix has 200"),
        ("imagenat", 1000, ["tench"], "is neither a file nor one of imagenet"),
    ],
)
def test_rows_that_are_not_one_a_class_are_refused(row_names: str, rows: int, classes: list[str], words: str) -> None:
    with pytest.raises(TgrError, match=re.escape(words)):
        by_name(row_names, rows, classes)
