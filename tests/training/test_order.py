"""The order of images: permutations, repeated augmentation, and the processes' shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgr_cli.training.order import epoch_order, share, without_lone_rest


def order(count: int, *, repeats: int = 1, total: int = 16, epoch: int = 1) -> np.ndarray:
    return epoch_order(np.arange(count), count, seed=3, epoch=epoch, repeats=repeats, total=total)


def test_an_epoch_is_a_permutation_of_its_own() -> None:
    assert sorted(order(50)) == list(range(50))
    assert (order(50) != order(50, epoch=2)).any()
    assert (order(50) == order(50)).all()


@given(count=st.integers(1, 200), repeats=st.integers(2, 5), total=st.integers(1, 40))
def test_repeats_show_each_image_in_as_many_copies_and_fewer_images(count: int, repeats: int, total: int) -> None:
    found = order(count, repeats=repeats, total=total)
    assert len(found) == count
    assert len(set(found)) == count  # no copy of an image occurs twice
    images, copies = np.unique(found % count, return_counts=True)
    assert len(images) <= -(-count // repeats)
    assert (copies == repeats).sum() >= count // repeats - max(1, total // repeats)


def test_a_steps_copies_are_no_neighbours() -> None:
    step = order(64, repeats=4, total=16)[:16] % 64
    assert len(set(step)) == 4
    assert (step != np.roll(step, 1)).all()


@given(count=st.integers(0, 100), batch=st.integers(1, 9), world=st.integers(1, 4))
def test_the_shares_of_a_step_are_the_step(count: int, batch: int, world: int) -> None:
    order, total = np.arange(count)[::-1].copy(), batch * world
    shares = [share(order, total, rank, world) for rank in range(world)]
    for step in range(-(-count // total)):
        parts = [own[step * batch : (step + 1) * batch] for own in shares]
        assert sorted(np.concatenate(parts)) == sorted(order[step * total : (step + 1) * total])
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("count", "total", "world", "left"),
    [(60, 59, 1, 59), (61, 59, 1, 61), (3, 8, 2, 3), (19, 8, 2, 16), (20, 8, 2, 20)],
)
def test_a_rest_too_small_for_batch_norm_is_left_out(count: int, total: int, world: int, left: int) -> None:
    assert len(without_lone_rest(np.arange(count), total, world)) == left
