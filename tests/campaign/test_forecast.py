"""Expected times of shards, from the costs of faults, images and lots of images."""

import numpy as np
import pytest

from tgr_cli.campaign.forecast import Costs

# Two chunks of two sites: units 0 and 1 on three images, units 2 and 3 on one; a fault at the second site takes 2 s.
COSTS = Costs(
    unit_F=np.array([0, 0, 0, 1, 1, 1, 2, 3]),
    image_F=np.array([0, 1, 2, 0, 1, 2, 9, 9]),
    fault_S=np.array([1.0, 2.0]),
    first_S=np.array([0.25, 0.5]),
    image=10.0,
    lot=100.0,
    images_a_lot=2,
)


def test_one_process_prepares_every_chunk_once() -> None:
    assert COSTS.of_shards(1) == pytest.approx([4 * 1 + 4 * 2 + 0.75 + 4 * 10 + 3 * 100])


def test_shards_that_divide_a_chunk_prepare_it_each() -> None:
    first, second = COSTS.of_shards(2)
    assert first == pytest.approx(3 * 1 + 0.25 + 3 * 10 + 2 * 100)
    assert second == pytest.approx(3 * 2 + 1 + 2 + 0.75 + 3 * 10 + 2 * 100 + 10 + 100)


def test_a_shard_without_a_unit_takes_nothing() -> None:
    assert np.count_nonzero(COSTS.of_shards(50)) == 4
