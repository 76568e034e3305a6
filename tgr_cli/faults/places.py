"""The places of a site among which faults are dealt: the whole output, or each of its feature maps.

Suffixes: F faults, M elements, or any shape of integers.
"""

import math
from dataclasses import dataclass

import numpy as np

from tgr_cli.faults.sites import Site


@dataclass(frozen=True)
class Places:
    """A division of one image's share of a site's output into `count` places of `size` elements each.

    The output is taken as [outer, count, inner]. A feature map is one index of the middle axis: one contiguous run of
    elements where `outer` is 1, and several otherwise, as where a convolution runs on each frame of an image.

    >>> maps = Places.of_maps(Site("conv", "conv", (4, 8, 8), macs=2304), channel_axis=-3)
    >>> maps.count, maps.size, int(maps.elements(np.array(3), np.array(0)))
    (4, 64, 192)
    """

    outer: int
    count: int
    inner: int

    @classmethod
    def whole(cls, site: Site) -> "Places":
        """Return one place that holds the whole site."""
        return cls(1, 1, site.neurons)

    @classmethod
    def of_maps(cls, site: Site, channel_axis: int) -> "Places":
        """Return a place for each feature map; `channel_axis` is counted from the end of the site's shape."""
        if not site.shape:  # a single number, as a product of two vectors
            return cls.whole(site)
        axis = len(site.shape) + channel_axis
        return cls(math.prod(site.shape[:axis]), site.shape[axis], math.prod(site.shape[axis + 1 :]))

    @property
    def size(self) -> int:
        """Return the number of elements in one place."""
        return self.outer * self.inner

    def of_number(self, number_F: np.ndarray) -> np.ndarray:
        """Return the place of each fault by its number at the site: the places take turns.

        So the first n × `count` faults of a site are the first n of each place, however many are drawn.
        """
        return number_F % self.count

    def elements(self, place: np.ndarray, within: np.ndarray) -> np.ndarray:
        """Return the flat index, in the site, of elements given by their index `within` a place."""
        return (within // self.inner * self.count + place) * self.inner + within % self.inner

    def of_elements(self, element: np.ndarray) -> np.ndarray:
        """Return the place that each flat index of the site lies in."""
        return element // self.inner % self.count
