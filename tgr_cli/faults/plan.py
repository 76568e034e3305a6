"""Which faults a campaign runs: drawn by name and number before the first one is injected (faults/sampling)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from tgr_cli.faults.sites import Site


@dataclass(frozen=True)
class Drawn:
    """The faults drawn at one site, one an entry of each array [F], in number order.

    A fault in a parameter has an entry for each image it is tried on; they stand together under one number.
    """

    number_F: np.ndarray
    image_F: np.ndarray
    element_F: np.ndarray
    bit_F: np.ndarray
    weight_F: np.ndarray


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

    @classmethod
    def joined(cls, sites: Sequence[Site], drawn: Sequence[Drawn]) -> "Plan":
        """Return the plan of the faults drawn at each of `sites`, in the sites' order."""
        counts = [len(part.number_F) for part in drawn]
        arrays = {f.name: np.concatenate([getattr(part, f.name) for part in drawn]) for f in fields(Drawn)}
        return cls(sites=tuple(sites), site_F=np.repeat(np.arange(len(sites)), counts), **arrays)

    def __len__(self) -> int:
        return len(self.number_F)

    @property
    def count(self) -> int:
        """Return how many faults there are; those in parameters have an entry for each image."""
        return len(self.by_fault()[0])

    def by_fault(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first entry of each fault, [U], and which fault each entry is of, [F]."""
        _, first_U, fault_F = np.unique(
            np.stack([self.site_F, self.number_F]), axis=1, return_index=True, return_inverse=True
        )
        return first_U, fault_F

    def take(self, chosen: np.ndarray) -> "Plan":
        """Return the plan of some of the faults, given by their places."""
        arrays = {name: value[chosen] for name, value in vars(self).items() if name != "sites"}
        return Plan(sites=self.sites, **arrays)

    def indices(self) -> list[list[int]]:
        """Return the struck element of every fault as an index with one number an axis of its site's shape."""
        rows: list[list[int]] = [[]] * len(self)
        for number, site in enumerate(self.sites):
            chosen = np.flatnonzero(self.site_F == number)
            axes = np.unravel_index(self.element_F[chosen], site.shape or (1,))  # a tensor of one number has no axis
            for fault, index in zip(chosen, np.stack(axes, axis=1)[:, : len(site.shape)].tolist(), strict=True):
                rows[fault] = index
        return rows
