"""Random numbers by name."""

import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tgr_cli import seeding


def test_a_longer_call_begins_with_the_rows_of_a_shorter_one() -> None:
    np.testing.assert_array_equal(
        seeding.words(7, "fault", "conv1", 0, count=100)[:9], seeding.words(7, "fault", "conv1", 0, count=9)
    )


def test_another_seed_or_key_gives_other_words() -> None:
    base = seeding.words(0, "fault", "conv1", 0, count=4)
    for other in ((1, "fault", "conv1", 0), (0, "fault", "conv2", 0), (0, "fault", "conv1", 1), (0, "fault", "conv1")):
        assert not np.intersect1d(base, seeding.words(*other, count=4)).size


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.integers(1, 2**32))
def test_below_is_the_high_half_of_the_product(words: list[int], bound: int) -> None:
    drawn = seeding.below(np.array(words, np.uint64), bound)
    assert drawn.tolist() == [word * bound >> 64 for word in words]  # Python's whole numbers as the oracle


def test_no_global_generator_moves() -> None:
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    seeding.words(0, "a", count=3)
    seeding.generator(0, "a").random()
    torch.rand(3, generator=seeding.torch_generator(0, "a"))
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
