"""Explicit faults: read as written, rejected by name where they do not exist."""

from pathlib import Path

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.faults import fault_list
from tgr_cli.faults.fault_models import Choices, Flip
from tgr_cli.faults.formats import NATIVE
from tgr_cli.faults.patterns import Element
from tgr_cli.faults.sites import Site

SITES = (
    Site(name="conv1", op="conv", shape=(4, 8, 8), macs=2304),
    Site(name="fc", op="linear", shape=(3,), macs=72),
)
IMAGES = ("a.png", "b.png")

BITS = Choices(Flip(), NATIVE["float32"])


def test_a_csv_file_becomes_a_plan_in_its_own_order(tmp_path: Path) -> None:
    file = tmp_path / "faults.csv"
    file.write_text('site,index,bit,image_id\nfc,2,30,b.png\nconv1,3 0 7,0,a.png\nfc,"[1]",31,a.png\n')
    plan = fault_list.plan(fault_list.read(file, Flip(), Element()), SITES, IMAGES, choices=BITS, pattern=Element())
    assert plan.site_F.tolist() == [1, 0, 1]
    assert plan.element_F.tolist() == [2, 3 * 64 + 0 * 8 + 7, 1]
    assert plan.choice_F.tolist() == [30, 0, 31]
    assert plan.image_F.tolist() == [1, 0, 0]
    assert plan.number_F.tolist() == [0, 1, 2]
    assert plan.indices() == [[2], [3, 0, 7], [1]]


GOOD = {"site": "fc", "index": [0], "bit": 0, "image_id": "a.png"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"site": "conv"}, 'fault 1: the model has no site "conv"; "tgr sites" lists them. Did you mean "conv1"?'),
        ({"index": [3]}, r"fault 1: index [3] lies outside the shape [3] of fc"),
        ({"index": [0, 0]}, r"fault 1: index [0, 0] lies outside the shape [3] of fc"),
        ({"index": [-1]}, r"fault 1: index [-1] lies outside the shape [3] of fc"),
        ({"bit": 32}, "fault 1: bit 32 lies outside 0 to 31"),
        ({"image_id": "c.png"}, 'fault 1: the data set has no image "c.png"; check --dataset and --images'),
    ],
)
def test_a_fault_that_does_not_exist_is_named(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(TgrError) as error:
        fault_list.plan([GOOD, GOOD | change], SITES, IMAGES, choices=BITS, pattern=Element())
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"holds no fault; write one a line below site,index,bit,image_id"),
        ("site,index,bit\nfc,0,0\n", r"lacks the column image_id; its first line must be site,index,bit,image_id"),
        ("site,index,bit,image_id\nfc,x,0,a.png\n", r'line 2: index "x" and bit "0" must be whole numbers'),
        ("site,index,bit,image_id\nfc,[1.5],0,a.png\n", r'line 2: index "\[1.5\]" and bit "0" must be whole numbers'),
        ("site,index,bit,image_id\nfc\n", r'line 2: index "" and bit "None" must be whole numbers'),
    ],
)
def test_a_csv_file_that_is_none_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "faults.csv"
    file.write_text(text)
    with pytest.raises(TgrError, match=sentence):
        fault_list.read(file, Flip(), Element())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TgrError, match=r"none.csv does not exist; name a CSV file"):
        fault_list.read(tmp_path / "none.csv", Flip(), Element())
