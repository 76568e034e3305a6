"""The elements of each pattern, by hand, on maps, tokens, vectors, and tensors of a model."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from tgr_cli.faults.patterns import Layout, pattern_named
from tgr_cli.faults.patterns.by_operation import ByOperation
from tgr_cli.faults.patterns.element import Element
from tgr_cli.faults.patterns.line import Row
from tgr_cli.faults.patterns.offsets import Offsets

Index = tuple[int, ...]
MAP = Layout.of_output((2, 3, 4), channel_axis=-3)  # channels, rows, columns
TOKENS = Layout.of_output((3, 4), channel_axis=-1)  # tokens, features
WINDOWS = Layout.of_output((2, 3, 4), channel_axis=-1)  # windows, tokens, features
VECTOR = Layout.of_output((4,), channel_axis=-1)
SIGNAL = Layout.of_output((2, 5), channel_axis=-2)  # channels, time
FRAMES = Layout.of_output((2, 2, 3, 4), channel_axis=-3)  # frames, channels, rows, columns
KERNELS = Layout.of_tensor((2, 3, 2, 2), output_axis=0)
TRANSPOSED = Layout.of_tensor((3, 2, 2, 2), output_axis=1)
SCALAR = Layout.of_tensor((), output_axis=0)


def struck(name: str, layout: Layout, anchor: Index, footprint: int = 0) -> list[Index]:
    """Return the indices of the struck elements, the anchor first."""
    flat = int(np.ravel_multi_index(anchor, layout.shape)) if anchor else 0
    pattern = pattern_named(name) if isinstance(name, str) else name
    elements = pattern.elements("conv", layout, torch.tensor([flat]), torch.tensor([footprint]))[0]
    real = elements[elements >= 0].tolist()
    assert elements[0] == flat
    assert len(set(real)) == len(real)
    return [tuple(int(axis) for axis in np.unravel_index(element, layout.shape or (1,))) for element in real]


def span(*axes: int | range) -> set[Index]:
    return set(itertools.product(*(axis if isinstance(axis, range) else (axis,) for axis in axes)))


@pytest.mark.parametrize(
    ("name", "layout", "anchor", "expected"),
    [
        ("element", MAP, (1, 2, 3), span(1, 2, 3)),
        ("row", MAP, (1, 2, 1), span(1, 2, range(4))),
        ("row", TOKENS, (1, 2), span(1, range(4))),
        ("row", WINDOWS, (1, 0, 2), span(1, 0, range(4))),
        ("row", VECTOR, (2,), span(range(4))),
        ("row", SIGNAL, (1, 3), span(1, range(5))),
        ("row", FRAMES, (1, 0, 2, 1), span(1, 0, 2, range(4))),
        ("row", KERNELS, (1, 2, 0, 1), span(1, 2, 0, range(2))),
        ("column", MAP, (1, 2, 1), span(1, range(3), 1)),
        ("column", TOKENS, (1, 2), span(range(3), 2)),
        ("column", WINDOWS, (1, 0, 2), span(1, range(3), 2)),
        ("column", VECTOR, (2,), span(2)),
        ("column", SIGNAL, (1, 3), span(1, 3)),
        ("channel", MAP, (1, 2, 1), span(1, range(3), range(4))),
        ("channel", TOKENS, (1, 2), span(range(3), 2)),
        ("channel", WINDOWS, (1, 0, 2), span(range(2), range(3), 2)),
        ("channel", VECTOR, (2,), span(2)),
        ("channel", SIGNAL, (1, 3), span(1, range(5))),
        ("channel", FRAMES, (1, 0, 2, 1), span(1, 0, range(3), range(4))),
        ("channel", KERNELS, (1, 2, 0, 1), span(1, range(3), range(2), range(2))),
        ("channel", TRANSPOSED, (2, 1, 0, 1), span(range(3), 1, range(2), range(2))),
        ("block:height=2,width=2", MAP, (1, 0, 1), span(1, range(2), range(1, 3))),
        ("block:height=2,width=2", MAP, (1, 2, 3), span(1, 2, 3)),  # cut at both edges
        ("block:height=2,width=3", TOKENS, (1, 2), span(range(1, 3), range(2, 4))),
        ("block:height=2,width=2", VECTOR, (1,), span(range(1, 3))),
        ("block:height=9,width=9", SIGNAL, (0, 3), span(0, range(3, 5))),
        ("several:count=99", VECTOR, (1,), span(range(4))),
    ],
)
def test_the_elements_of_a_pattern(name: str, layout: Layout, anchor: Index, expected: set[Index]) -> None:
    found = struck(name, layout, anchor)
    assert set(found) == expected
    assert found[0] == anchor


@pytest.mark.parametrize("name", ["element", "row", "column", "channel", "block:height=2,width=2", "several:count=3"])
def test_a_scalar_is_all_there_is(name: str) -> None:
    assert struck(name, SCALAR, ()) == [(0,)]


def test_offsets_are_channels_rows_and_columns() -> None:
    offsets = Offsets("", ((1, 0, 0), (0, -1, 2), (-1, 0, 0), (0, 0, 9)))
    assert struck(offsets, MAP, (0, 1, 1)) == [(0, 1, 1), (1, 1, 1), (0, 0, 3)]
    assert struck(offsets, WINDOWS, (0, 1, 1)) == [(0, 1, 1), (1, 1, 1), (0, 0, 3)]  # of windows, tokens, features
    assert struck(offsets, TOKENS, (1, 1)) == [(1, 1), (0, 3)]
    assert struck(offsets, SIGNAL, (1, 1)) == [(1, 1), (0, 1)]


def test_several_elements_depend_on_the_footprint_and_all_are_equally_likely() -> None:
    anchors, footprints = torch.full((3000,), 5), torch.arange(3000)
    pattern = pattern_named("several:count=3")
    elements = pattern.elements("conv", MAP, anchors, footprints)
    assert elements.shape == (3000, 3)
    assert (elements[:, 0] == 5).all()
    again = pattern.elements("conv", MAP, anchors[:7], footprints[:7])
    assert torch.equal(again, elements[:7])
    pairs = Counter(map(tuple, elements[:, 1:].sort(dim=1).values.tolist()))
    assert len(pairs) == 23 * 22 // 2  # every pair of the others
    assert max(pairs.values()) < 30  # 11.9 on average
    assert not any(5 in pair for pair in pairs)


def test_patterns_of_a_file_are_numbered_one_after_another() -> None:
    several = pattern_named("several:count=2")
    pattern = ByOperation("", "", {"conv": ((0.5, Element()), (0.2, several), (0.3, Row()))})
    last = 1 + several.count("conv")
    assert pattern.count("conv") == last + 1
    footprints = torch.tensor([0, 1, last, 7])
    elements = pattern.elements("conv", MAP, torch.tensor([5, 5, 5, 6]), footprints)
    assert elements[0].tolist() == [5, -1, -1, -1, -1]
    assert elements[1, :2].tolist() == several.elements("conv", MAP, torch.tensor([5]), torch.tensor([0]))[0].tolist()
    assert sorted(elements[2].tolist()) == [-1, 4, 5, 6, 7]
    assert elements[3, :2].tolist() == several.elements("conv", MAP, torch.tensor([6]), torch.tensor([6]))[0].tolist()
