import numpy as np
import pytest

from tgr_cli.faults.places import Places
from tgr_cli.faults.sampling.dealing import Dealt, turns
from tgr_cli.faults.sites import Site

CHANCE_I = np.array([0.5, 0.25, 2.25, 0.5, 1.5])
SITE = Site("conv", "conv", (4, 3, 3), 1)


@pytest.mark.parametrize("number", [0, 1, 4, 5, 17])
def test_every_fault_falls_on_an_image_with_its_chance_exactly(number: int) -> None:
    """Over all first cells, and a grid of places within them that the ends of the intervals are multiples of."""
    grid = (np.arange(1000) + 0.5) / 1000
    counts = sum(
        np.bincount(turns(np.array([number]), np.array([first]), CHANCE_I, offset), minlength=5)
        for first in range(5)
        for offset in grid
    )
    np.testing.assert_allclose(counts / 1000, CHANCE_I, atol=0.003)  # of the grid, where a round shifts it


@pytest.mark.parametrize(("faults", "within"), [(5, 1), (10, 2), (64, 2.5), (1000, 4)])
def test_images_get_about_their_share_of_any_number_of_faults(faults: int, within: float) -> None:
    for first in range(5):
        turn_F = turns(np.arange(faults), np.full(faults, first), CHANCE_I, 0.37)
        assert np.abs(np.bincount(turn_F, minlength=5) - faults * CHANCE_I / 5).max() <= within


@pytest.mark.parametrize("images", [1, 2, 7, 100, 609])
def test_equally_likely_images_are_struck_once_a_round(images: int) -> None:
    turn_F = turns(np.arange(3 * images), np.full(3 * images, images // 2), np.ones(images), 0.999)
    for start in range(3):
        assert sorted(turn_F[start * images : (start + 1) * images]) == list(range(images))


def test_the_first_faults_of_a_round_are_spread_over_the_images() -> None:
    turn_F = turns(np.arange(100), np.zeros(100, int), np.ones(1000), 0.5)
    assert np.diff(np.sort(turn_F)).max() < 20  # 10 if they were equally spaced


@pytest.mark.parametrize("places", [1, 4])
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_every_fault_is_given_once_with_its_image_whatever_the_batch(places: int, at_once: int) -> None:
    within = Places.whole(SITE) if places == 1 else Places(1, 4, 9)
    dealt = Dealt.of(SITE, within, 44, CHANCE_I, seed=3)
    seen = {}
    struck_I = dealt.struck()
    for start in range(0, len(struck_I), at_once):
        turn_K = struck_I[start : start + at_once]
        for pairs in dealt.at(turn_K, most=4):
            np.testing.assert_array_equal(turn_K[pairs.row_Q], pairs.turn_Q)
            size = pairs.number_QR.shape[1]
            assert size & (size - 1) == 0
            own_Q = (pairs.number_QR < 44).sum(axis=1)
            assert (own_Q > size // 2).all()  # the smallest power of two that holds them
            for turn, place, numbers in zip(pairs.turn_Q, pairs.place_Q, pairs.number_QR, strict=True):
                seen |= {int(number): (int(turn), int(place), size) for number in numbers if number < 44}
    assert sorted(seen) == list(range(44))
    assert [seen[number][:2] for number in range(44)] == [(int(dealt.turn_F[n]), n % places) for n in range(44)]
