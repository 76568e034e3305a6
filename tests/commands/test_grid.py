"""Table layout: fitting, wrapping, splitting, and never cutting a number."""

import io
import sys

import pytest
from rich.cells import cell_len

from tgr_cli.commands import grid
from tgr_cli.commands.console import Console

COLUMNS = ("site", "mean dLoss (nats)", "interval", "what it is")
ROWS = [
    ("conv1", "0.000886", "~0.000138 to 0.00163", "the first"),
    ("backbone.layer1.0.conv1", "12.5", "0.1 to 0.3", "a convolution in the middle of the network"),
    ("層", "-", "-", "-"),
]


def shown(width: int, **more: int) -> list[list[str]]:
    return [
        [*part.header, part.rule, *(line for row in part.rows for line in row)]
        for part in grid.lay_out(COLUMNS, ROWS, width, **more)
    ]


def test_a_table_that_fits_is_as_wide_as_its_cells_with_the_points_below_each_other() -> None:
    assert shown(120) == [
        [
            "                         mean dLoss",
            "site                         (nats)              interval  what it is",
            "───────────────────────  ──────────  ────────────────────  ──────────────────────────────────────────",
            "conv1                      0.000886  ~0.000138 to 0.00163  the first",
            "backbone.layer1.0.conv1   12.5        0.1 to 0.3           a convolution in the middle of the network",
            "層                         -          -                    -",
        ]
    ]


def test_texts_are_folded_and_numbers_are_not() -> None:
    (lines,) = shown(70)
    assert lines[3:] == [
        "conv1                0.000886  ~0.000138 to 0.00163  the first",
        "backbone.layer1.    12.5        0.1 to 0.3           a convolution in",
        "0.conv1                                              the middle of the",
        "                                                     network",
        "層                   -          -                    -",
    ]


@pytest.mark.parametrize("width", [40, 52, 63, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_every_number_is_whole(width: int) -> None:
    parts = shown(width)
    assert max(cell_len(line) for part in parts for line in part) <= width
    text = "\n".join(line for part in parts for line in part)
    for row in ROWS:
        for cell in row[1:3]:
            assert cell in text
    for part in parts:
        assert [line[0] for line in part[-3:] if line[0] != " "][-1] == "層"  # each part identifies the rows
        assert "backbone.layer1." in "".join(part)


def test_a_number_wider_than_the_terminal_is_printed_all_the_same() -> None:
    assert "~0.000138 to 0.00163" in "\n".join(line for part in shown(12) for line in part)


def test_the_columns_of_the_head_are_kept_to_themselves_where_a_table_is_split() -> None:
    assert len(shown(120, head=2)) == 1
    first, *others = grid.lay_out(COLUMNS, ROWS, 46, head=2)
    assert "interval" not in "".join(first.header)
    assert "interval" in "".join(others[0].header)


def test_bars_are_in_proportion_and_missing_values_have_none() -> None:
    assert grid.bars([8.0, 4.0, 1.0, 0.0, float("nan")], 4) == ["████", "██", "▌", "", ""]
    assert grid.bars([0.0], 4) == [""]


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1,000", "-", "+0.26", "-3e-05", "~1.20 (1.00 to 1.50)", "2.87×", "3.1 to 4"], True),
        (["6 six, 9 nine"], False),
        (["23-30"], False),
        (["0x1f"], False),
        (["128×3×3"], False),
        (["-", "-"], False),
    ],
)
def test_what_counts_as_a_number(cells: list[str], numbers: bool) -> None:
    assert grid.is_numbers(cells) is numbers


@pytest.mark.parametrize(("terminal", "width", "bars"), [(True, 60, True), (True, 40, False), (False, 60, False)])
def test_bars_are_shown_on_a_terminal_that_has_room(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, width: int, bars: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    seen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(seen, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stdout", seen)
    Console().table("Sites :x: [b]", ("site", "rate (%)"), [("a" * 25, "1.5"), ("b", "0.5")], ("rate", [1.5, 0.5]))
    seen.seek(0)
    printed = seen.read()
    assert ("█" * 10 in printed) is bars
    assert "Sites :x: [b]" in printed  # neither markup nor emoji
