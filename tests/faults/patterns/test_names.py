"""Patterns by name and from files: what is read, and the words of what is not."""

import json
from pathlib import Path

import numpy as np
import pytest

from tgr_cli.errors import TgrError
from tgr_cli.faults.patterns import pattern_from, pattern_named
from tgr_cli.faults.patterns.draw import with_footprints
from tgr_cli.faults.plan import Plan

from ..planned import CONV, FC

PUBLISHED = """
[[conv]]
pattern = "element"
probability = 0.499
[[conv]]
pattern = "block:height=2,width=3"
probability = 0.25
[[conv]]
offsets = [[1, 0, 0], [2, 0, 0]]
probability = 0.25
[[linear]]
pattern = "row"
probability = 1
"""


def test_case_does_not_matter() -> None:
    assert pattern_named("ROW").name == "row"
    assert pattern_named("Block:Width=3,HEIGHT=1").name == "block:height=1,width=3"


def test_a_name_is_written_in_one_way() -> None:
    assert pattern_named("block:width=3,height=2").name == "block:height=2,width=3"
    assert pattern_named("row").name == "row"
    assert pattern_named("several:count=4").name == "several:count=4"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rows", '--pattern is "rows"; use one of element, row, column, channel, block, several. Did you mean "row"?'),
        ("block", '--pattern is "block", and block needs height and width; write it as block:height=2,width=2'),
        ("block:height=2", '--pattern is "block:height=2", and block needs width; write it as '),
        ("row:length=2", '--pattern is "row:length=2", with an option "length"; row takes no options.'),
        ("several:count=1", 'where count is "1"; use a whole number from 2 to 65536'),
        ("", '--pattern is ""; use one of element, row,'),
    ],
)
def test_other_names_are_refused(text: str, words: str) -> None:
    with pytest.raises(TgrError) as told:
        pattern_named(text)
    assert words in str(told.value)


def test_a_file_gives_patterns_by_operation_with_probabilities(tmp_path: Path) -> None:
    (file := tmp_path / "array.toml").write_text(PUBLISHED)
    pattern = pattern_from(file)
    assert [round(piece.probability, 4) for piece in pattern.footprints("conv")] == [0.4995, 0.2503, 0.2503]
    assert [piece.probability for piece in pattern.footprints("linear")] == [1.0]
    rows = {"linear": [{"offsets": [[0, 1, 0]], "probability": 1.0}]}
    (as_json := tmp_path / "array.json").write_text(json.dumps(rows))
    assert pattern_from(as_json).name == "patterns of linear 1.0 offsets [[0,1,0]]"
    with pytest.raises(TgrError, match=r"array\.json has no patterns for conv, where .*, but for linear"):
        pattern_from(as_json).check({"conv", "linear"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "describes no patterns; write for each operation a list of patterns, as [[conv]] with"),
        ("[[conv", "is not valid TOML"),
        (
            "[[cnov]]\n",
            'FILE: an operation is "cnov"; use one of conv, linear, matmul, weight, bias, buffer.',
        ),
        ("conv = 3\n", "FILE, conv: a list of patterns is expected"),
        (
            '[[conv]]\npattern = "row"\n',
            "the probability of {'pattern': 'row'} is None; give a number above 0",
        ),
        ('[[conv]]\npattern = "row"\nprobability = 0.5\n', "the probabilities add up to 0.5; they must add up to 1"),
        ('[[conv]]\npattern = "row"\nprobability = true\n', "is True; give a number above 0"),
        ('[[conv]]\npattern = "rwo"\nprobability = 1\n', 'FILE, conv: --pattern is "rwo"; use one of'),
        ("[[conv]]\nprobability = 1\n", "{} needs either a pattern, as row, or offsets, as [[0, 0, 1]]"),
        ('[[conv]]\npattern = "row"\noffsets = []\nprobability = 1\n', "needs either a pattern"),
        ("[[conv]]\noffsets = [[0, 1]]\nprobability = 1\n", "write up to 1024 lists of three whole numbers"),
        ("[[conv]]\noffsets = [[0, 1, 0.5]]\nprobability = 1\n", "lists of three whole numbers"),
        ("[[conv]]\noffsets = [[0, 1, 0], [0, 1, 0]]\nprobability = 1\n", "names a place twice; name each once"),
        (
            '[[conv]]\npattern = "row"\nweight = 3\nprobability = 1\n',
            'is "weight"; use one of pattern, offsets,',
        ),
    ],
)
def test_files_that_describe_no_patterns_are_refused(text: str, words: str, tmp_path: Path) -> None:
    (file := tmp_path / "array.toml").write_text(text)
    with pytest.raises(TgrError) as told:
        pattern_from(file)
    assert words.replace("FILE", str(file)) in str(told.value)


def test_footprints_are_drawn_by_site_and_number_alone(tmp_path: Path) -> None:
    (file := tmp_path / "array.toml").write_text(PUBLISHED)
    count = 4000
    number_F = np.tile(np.arange(count), 2)
    zeros_F, site_F = np.zeros(2 * count, np.int64), np.repeat([0, 1], count)
    plan = Plan((CONV, FC), number_F, site_F, zeros_F, zeros_F, zeros_F, np.ones(2 * count))
    drawn = with_footprints(plan, pattern_from(file), seed=3)
    shares = np.bincount(drawn.footprints[site_F == 0], minlength=3) / count
    np.testing.assert_allclose(shares, [0.4995, 0.2503, 0.2503], atol=0.03)  # four standard errors
    assert not drawn.footprints[site_F == 1].any()
    some = np.array([4, 70, 70, 3999])
    alone = with_footprints(plan.take(some), pattern_from(file), seed=3)
    assert alone.footprints.tolist() == drawn.footprints[some].tolist()
    assert with_footprints(plan, pattern_from(file), seed=4).footprints.tolist() != drawn.footprints.tolist()
