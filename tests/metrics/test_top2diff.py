import math

import numpy as np
import pytest
import torch

from tgr_cli.metrics.top2diff import accuracy_kept, overtakes, thresholds, top2


def test_top2_are_the_two_highest_softmax_probabilities():
    top1, second = top2(torch.tensor([[0.0, math.log(2), math.log(5)], [1, 1, -1e4]]))
    assert top1 == pytest.approx([5 / 8, 0.5])
    assert second == pytest.approx([2 / 8, 0.5])
    assert [share.tolist() for share in top2(torch.tensor([[3.0]]))] == [[1], [0]]


def test_thresholds_include_both_ends_and_are_the_numbers_one_would_type():
    assert thresholds(0.01, 0.40, 0.01).tolist() == [round(n / 100, 2) for n in range(1, 41)]
    assert thresholds(0.1, 0.35, 0.1).tolist() == [0.1, 0.2, 0.3]
    assert thresholds(0.5, 0.5, 0.1).tolist() == [0.5]


def test_accuracy_by_hand():
    correct = np.array([True, True, True, False])
    top2diff = np.array([0.05, 0.10, 0.90, 0.02])
    delta = np.array([0.0, 0.02, 0.10, 0.11, 1.0])
    assert accuracy_kept(correct, top2diff, delta).tolist() == [0.75, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize(
    ("first", "candidate", "expected"),
    [
        ([9, 8, 7, 6], [8, 8, 8, 8], [0.2]),  # a tie is not ahead
        ([9, 8, 7, 6], [9, 8, 8, 8], []),  # never behind
        ([9, 8, 7, 6], [8, 7, 6, 5], []),  # never ahead
        ([9, 8, 7, 6], [8, 9, 6, 7], [0.1, 0.3]),  # two crossings
        ([9, 8, 7, 6], [10, 8, 7, 7], []),  # ahead, equal, ahead: never behind
    ],
)
def test_a_curve_overtakes_where_it_is_first_ahead_after_being_behind(first, candidate, expected):
    assert overtakes(np.array(first), np.array(candidate), np.array([0, 0.1, 0.2, 0.3])) == expected
