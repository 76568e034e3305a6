"""Measures of map differences, on maps with values known by hand."""

import math

import numpy as np
import pytest

from tgr_cli.saliency import shift


def single(row: int, column: int) -> np.ndarray:
    """Return a 4×4 map with one non-zero element."""
    found = np.zeros((4, 4), np.float32)
    found[row, column] = 1
    return found


def test_a_bright_place_that_moves_along_a_row() -> None:
    assert shift.centre(single(0, 0)) == (0.125, 0.125)
    assert shift.distance(single(0, 0), single(0, 3)) == pytest.approx(0.75 / math.sqrt(2))
    assert shift.distance(single(0, 0), single(3, 3)) == pytest.approx(0.75)
    assert shift.difference(single(0, 0), single(0, 3)) == pytest.approx(2 / 16)
    # correlation of two one-hot maps, -p/(1-p) with p = 1/16
    assert shift.correlation(single(0, 0), single(0, 3)) == pytest.approx(-1 / 15)


def test_a_map_that_only_grows_stays_where_it_was() -> None:
    map_HW = np.random.default_rng(0).random((5, 5), np.float32)
    assert shift.correlation(map_HW, map_HW / 2) == pytest.approx(1)
    assert shift.distance(map_HW, map_HW / 2) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])  # numerically, the variance of sixteen values 0.1 is 2e-34, not 0
def test_a_map_that_is_the_same_everywhere_has_no_correlation(value: float) -> None:
    flat = np.full((4, 4), value, np.float32)
    assert shift.correlation(single(0, 0), flat) is None
    assert shift.correlation(flat, single(0, 0)) is None


def test_only_a_map_of_zeros_has_no_centre() -> None:
    assert shift.distance(single(0, 0), np.zeros((4, 4), np.float32)) is None
    assert shift.distance(single(0, 0), np.ones((4, 4), np.float32)) == pytest.approx(0.375)
