"""Which faults a campaign runs: drawn by name and number before the first one is injected.

Fault f of a site depends on the seed, the site's name, f and the pool of images alone. Batch size, device, engine,
order, the other sites and the number of faults do not move it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tgr_cli import seeding
from tgr_cli.errors import TgrError
from tgr_cli.faults.sites import Site

MAX_ATTEMPTS = 10_000


@dataclass(frozen=True)
class Plan:
    """The faults of a campaign, one an entry of each array [F]; entries of a site stand together, in number order.

    `site_F` points into `sites`, `image_F` into the pool of images, `element_F` into one image's share of the site's
    output (flat). `weight_F` is uniform over actual probability of drawing the fault.
    """

    sites: tuple[Site, ...]
    number_F: np.ndarray
    site_F: np.ndarray
    image_F: np.ndarray
    element_F: np.ndarray
    bit_F: np.ndarray
    weight_F: np.ndarray

    def __len__(self) -> int:
        return len(self.number_F)

    def take(self, chosen: np.ndarray) -> "Plan":
        """Return the plan of some of the faults, given by their places."""
        arrays = {name: value[chosen] for name, value in vars(self).items() if name != "sites"}
        return Plan(sites=self.sites, **arrays)

    def indices(self) -> list[list[int]]:
        """Return the struck element of every fault as an index with one number an axis of its site's shape."""
        rows: list[list[int]] = [[]] * len(self)
        for number, site in enumerate(self.sites):
            chosen = np.flatnonzero(self.site_F == number)
            axes = np.unravel_index(self.element_F[chosen], site.shape)
            for fault, index in zip(chosen, np.stack(axes, axis=1).tolist(), strict=True):
                rows[fault] = index
        return rows


def uniform(sites: Sequence[Site], eligible_N: np.ndarray, *, injections: int, bits: int, seed: int) -> Plan:
    """Return a plan of `injections` faults a site, each uniform over eligible images, neurons and bits.

    `eligible_N` (bool) says which images of the pool may be struck: a fault that falls on another is drawn again under
    the next attempt's key, so that one image more or less moves only the faults that fall on it. Raises TgrError where
    no image is eligible.
    """
    if not eligible_N.any():
        raise TgrError(
            "no image may be struck: none is classified correctly without a fault; check the labels and weights, "
            "or use --all-images or --label golden"
        )
    draws = [_draw(site, eligible_N, injections, bits, seed) for site in sites]
    image_SF, element_SF, bit_SF = (np.concatenate(parts) for parts in zip(*draws, strict=True))
    return Plan(
        sites=tuple(sites),
        number_F=np.tile(np.arange(injections), len(sites)),
        site_F=np.repeat(np.arange(len(sites)), injections),
        image_F=image_SF,
        element_F=element_SF,
        bit_F=bit_SF,
        weight_F=np.ones(injections * len(sites)),
    )


def _draw(site: Site, eligible_N: np.ndarray, injections: int, bits: int, seed: int) -> tuple[np.ndarray, ...]:
    image_F, element_F, bit_F = (np.zeros(injections, np.int64) for _ in range(3))
    open_F = np.ones(injections, bool)
    for attempt in range(MAX_ATTEMPTS):
        words_F4 = seeding.words(seed, "fault", site.name, attempt, count=injections)[open_F]
        image_F[open_F] = seeding.below(words_F4[:, 0], len(eligible_N))
        element_F[open_F] = seeding.below(words_F4[:, 1], site.neurons)
        bit_F[open_F] = seeding.below(words_F4[:, 2], bits)
        open_F &= ~eligible_N[image_F]
        if not open_F.any():
            return image_F, element_F, bit_F
    raise TgrError(
        f"only {int(eligible_N.sum())} of {len(eligible_N)} images are classified correctly, too few to draw faults "
        "from; use --images with more images, --all-images or --label golden"
    )
