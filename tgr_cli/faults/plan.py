"""The faults that a campaign runs, all sampled before the first injection (see faults/sampling)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from tgr_cli.faults.sites import Site


@dataclass(frozen=True)
class Drawn:
    """The faults sampled at one site, in number order; every array is [F].

    A lasting fault has one entry per image it is tried on; these are adjacent and have the same number. See `Plan`
    for the other columns.
    """

    number_F: np.ndarray
    image_F: np.ndarray
    element_F: np.ndarray
    choice_F: np.ndarray
    weight_F: np.ndarray
    image_weight_F: np.ndarray | None = None
    image_excess_F: np.ndarray | None = None


@dataclass(frozen=True)
class Plan:
    """The faults of a campaign; every array is [F], with the entries of a site adjacent and in number order.

    `site_F` indexes `sites`, `image_F` the pool of images, and `element_F` one image's share of the site's output
    (flat). `choice_F` numbers what happens to it, among the choices of the fault model. `weight_F` is the importance
    weight: the probability of the fault under uniform sampling / its actual probability. `image_weight_F` is the part
    of it that is the image's, and `image_excess_F` by how much the image's actual probability exceeds the uniform one;
    None if all images are equally likely (1 and 0). `footprint_F` numbers which elements are struck with it, among
    those of the pattern; None for 0. If faults are `lasting`, each is tried on several images, with one entry per
    image.
    """

    sites: tuple[Site, ...]
    number_F: np.ndarray
    site_F: np.ndarray
    image_F: np.ndarray
    element_F: np.ndarray
    choice_F: np.ndarray
    weight_F: np.ndarray
    lasting: bool = False
    footprint_F: np.ndarray | None = None
    image_weight_F: np.ndarray | None = None
    image_excess_F: np.ndarray | None = None

    @classmethod
    def joined(cls, sites: Sequence[Site], drawn: Sequence[Drawn], *, lasting: bool = False) -> "Plan":
        """Return the plan of the faults sampled at each of `sites`, in the order of the sites."""
        counts = [len(part.number_F) for part in drawn]
        arrays = {
            f.name: np.concatenate([getattr(part, f.name) for part in drawn])
            for f in fields(Drawn)
            if all(getattr(part, f.name) is not None for part in drawn)
        }
        return cls(sites=tuple(sites), site_F=np.repeat(np.arange(len(sites)), counts), lasting=lasting, **arrays)

    def __len__(self) -> int:
        return len(self.number_F)

    @property
    def footprints(self) -> np.ndarray:
        """Return the footprint of each entry, int64 [F]."""
        return np.zeros(len(self), np.int64) if self.footprint_F is None else self.footprint_F

    @property
    def image_weights(self) -> np.ndarray:
        """Return the image's part of the weight of each entry, [F]."""
        return np.ones(len(self)) if self.image_weight_F is None else self.image_weight_F

    @property
    def image_excesses(self) -> np.ndarray:
        """Return by how much the actual probability of each entry's image exceeds the uniform one, [F]."""
        return np.zeros(len(self)) if self.image_excess_F is None else self.image_excess_F

    @property
    def count(self) -> int:
        """Return the number of faults; a lasting fault counts once for all its images."""
        return len(self.by_fault()[0])

    def by_fault(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first entry of each fault, [U], and the fault number (0 to U - 1) of each entry, [F]."""
        _, first_U, fault_F = np.unique(
            np.stack([self.site_F, self.number_F]), axis=1, return_index=True, return_inverse=True
        )
        return first_U, fault_F

    def take(self, chosen: np.ndarray) -> "Plan":
        """Return the plan restricted to the entries at `chosen` positions."""
        arrays = {name: value[chosen] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)

    def indices(self) -> list[list[int]]:
        """Return the faulty element of each entry as a multi-dimensional index into its site's shape."""
        rows: list[list[int]] = [[]] * len(self)
        for number, site in enumerate(self.sites):
            chosen = np.flatnonzero(self.site_F == number)
            axes = np.unravel_index(self.element_F[chosen], site.shape or (1,))  # a scalar tensor has no axis
            for fault, index in zip(chosen, np.stack(axes, axis=1)[:, : len(site.shape)].tolist(), strict=True):
                rows[fault] = index
        return rows
