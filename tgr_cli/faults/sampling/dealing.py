"""Deals the faults of a site to images with unequal chances, evenly: each image gets about its share of any number.

The images are laid side by side, in random order, as intervals as long as their chances; of I images these have the
length I. Fault number n falls on a point, and so on the image at that point. Each round of I faults has one point in
every cell [0, 1), [1, 2), …, at the same place within each (systematic sampling with probability proportional to size),
so that an image with the chance c gets c faults of a round, rounded up or down. Rounds differ in this place, and cells
are visited in strides of about I / 1.618, so that the first faults of a round are spread over all images (the golden
section leaves the most even gaps, see Niederreiter). With equal chances a round strikes every image once.

The first cell and place are random, so each point is uniform: image i has the probability c / I for every fault, and
estimates by weights are unbiased. A fault's image depends on its number and the chances only: more faults are added to
the same first ones, and sites with the same chances strike the same images.

Suffixes: I images in the order in which they are struck, P places of a site, F faults, K images of one backward pass, Q
pairs of image and place, R faults of a pair.

Sources: W. G. Madow, "On the theory of systematic sampling, II", Annals of Mathematical Statistics 20 (1949); H.
Niederreiter, "Random number generation and quasi-Monte Carlo methods" (1992), chapter 3.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tgr_cli import seeding
from tgr_cli.faults.places import Places
from tgr_cli.faults.sampling.images import first_images
from tgr_cli.faults.sites import Site

GOLDEN = (math.sqrt(5) - 1) / 2
NEAR = 50  # strides tried on either side of the golden section


class Pairs(NamedTuple):
    """Pairs of an image and a place with up to R faults: row of the image in the batch, turn, place, and numbers.

    Numbers that are not below the site's number of faults fill up rows with fewer.
    """

    row_Q: np.ndarray
    turn_Q: np.ndarray
    place_Q: np.ndarray
    number_QR: np.ndarray


@dataclass(frozen=True)
class Dealt:
    """The faults of a site, dealt to its places in turn, and those of a place to images by their chances.

    `turn_F` is the image of each fault, as its place in the order of the images.
    """

    site: Site
    places: Places
    chance_I: np.ndarray
    turn_F: np.ndarray

    @classmethod
    def of(cls, site: Site, places: Places, count: int, chance_I: np.ndarray, *, seed: int) -> "Dealt":
        """Return `count` faults of a site, a multiple of its number of places, dealt to images with these chances."""
        assert count % places.count == 0, (count, places.count)
        first_P = first_images(site.name, places.count, len(chance_I), seed=seed)
        offset = float(seeding.unit(seeding.words(seed, "offset of images", count=1)[0, 0]))
        number_F = np.arange(count)
        turn_F = turns(number_F // places.count, first_P[number_F % places.count], chance_I, offset)
        return cls(site, places, chance_I, turn_F)

    @property
    def count(self) -> int:
        """Return the number of faults of the site."""
        return len(self.turn_F)

    def struck(self) -> np.ndarray:
        """Return the turns of the images that get a fault, ascending."""
        return np.unique(self.turn_F)

    def at(self, turn_K: np.ndarray, most: int) -> Iterator[Pairs]:
        """Yield the pairs of place and image, among the images with these turns (ascending), that have faults.

        Pairs come together if their numbers of faults have the same power of two as upper bound, R, at most `most` / R
        (at least one) for each image of the batch.
        """
        by_turn_F, upto_I = self._by_turn
        number_F = np.concatenate([by_turn_F[upto_I[turn] : upto_I[turn + 1]] for turn in turn_K.tolist()])
        if not len(number_F):
            return
        turn_F, place_F = self.turn_F[number_F], number_F % self.places.count
        pair_F = turn_F * self.places.count + place_F
        order = np.lexsort((number_F, pair_F))
        number_F = number_F[order]
        pair_Q, first_Q, faults_Q = np.unique(pair_F[order], return_index=True, return_counts=True)
        size_Q = 2 ** np.ceil(np.log2(faults_Q)).astype(np.int64)
        for size in np.unique(size_Q).tolist():
            chosen = np.flatnonzero(size_Q == size)
            step = max(1, len(turn_K) * (most // size))
            for some in (chosen[start : start + step] for start in range(0, len(chosen), step)):
                place_QR = first_Q[some][:, None] + np.arange(size)
                own_QR = np.arange(size) < faults_Q[some][:, None]
                number_QR = np.where(own_QR, number_F[np.minimum(place_QR, len(number_F) - 1)], self.count)
                turn_Q, place_Q = np.divmod(pair_Q[some], self.places.count)
                yield Pairs(np.searchsorted(turn_K, turn_Q), turn_Q, place_Q, number_QR)

    @cached_property
    def _by_turn(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of all faults by the turn of their image, and where those of each turn begin, [I + 1]."""
        faults_I = np.bincount(self.turn_F, minlength=len(self.chance_I))
        return np.argsort(self.turn_F, kind="stable"), np.concatenate([[0], np.cumsum(faults_I)])


def turns(number_F: np.ndarray, first_F: np.ndarray, chance_I: np.ndarray, offset: float) -> np.ndarray:
    """Return the image of each fault, int64 [F], as its place in the order of the images.

    `number_F` counts the faults of a place, `first_F` is the cell where that place's begin, and `offset` the place of
    the first round's points within their cells.

    >>> turns(np.arange(6), np.zeros(6, int), np.array([0.5, 0.5, 2.0]), 0.25).tolist()
    [0, 2, 2, 1, 2, 2]
    """
    images = len(chance_I)
    upto_I = np.cumsum(chance_I)
    upto_I *= images / upto_I[-1]
    round_F, step_F = np.divmod(number_F, images)
    cell_F = (first_F + step_F * _stride(images)) % images
    within_F = (offset + round_F * GOLDEN) % 1.0
    return np.minimum(np.searchsorted(upto_I, cell_F + within_F, side="right"), images - 1)


def _stride(images: int) -> int:
    """Return a stride near images × GOLDEN that visits every cell, and spreads its first steps the most evenly.

    That is one without a common divisor, and the smallest partial quotients of stride / images.
    """
    near = range(max(1, round(images * GOLDEN) - NEAR), round(images * GOLDEN) + NEAR + 1)
    return min(
        (stride for stride in near if math.gcd(stride, images) == 1), key=lambda one: _worst_quotient(one, images)
    )


def _worst_quotient(above: int, below: int) -> int:
    """Return the largest partial quotient of the continued fraction of above / below, a measure of uneven gaps.

    >>> _worst_quotient(8, 13), _worst_quotient(7, 13)
    (2, 6)
    """
    worst, above = 0, above % below
    while above:
        quotient, rest = divmod(below, above)
        worst, below, above = max(worst, quotient), above, rest
    return worst
