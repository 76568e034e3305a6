"""A site is divided into places: the whole, or its feature maps, wherever the channels lie."""

import numpy as np
import pytest

from tgr_cli.faults.places import Places
from tgr_cli.faults.sites import Site


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((4, 6, 5), -3), ((7, 9), -2), ((3, 4, 2, 5), -3), ((3, 4, 2, 5), -4), ((6, 8), -1), ((5, 1, 1), -3)],
)
def test_the_elements_of_a_map_are_those_of_one_index_of_the_channels(shape: tuple[int, ...], axis: int) -> None:
    site = Site("conv", "conv", shape, 1)
    places = Places.of_maps(site, axis)
    numbers = np.arange(site.neurons).reshape(shape)
    assert places.count == shape[axis]
    assert places.count * places.size == site.neurons
    for channel in range(places.count):
        found = places.elements(np.array(channel), np.arange(places.size))
        np.testing.assert_array_equal(found, np.take(numbers, channel, axis=axis).ravel())
        assert (places.of_elements(found) == channel).all()


def test_the_whole_site_is_one_place() -> None:
    places = Places.whole(Site("fc", "linear", (10,), 1))
    np.testing.assert_array_equal(places.elements(np.array(0), np.arange(10)), np.arange(10))
    assert (places.count, places.size, set(places.of_number(np.arange(5)).tolist())) == (1, 10, {0})
