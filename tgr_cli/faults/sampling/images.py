"""Which images the faults of a site strike.

Suffixes: N images of the pool, F faults, K images a fault is tried on.
"""

import numpy as np

from tgr_cli import seeding
from tgr_cli.errors import TgrError

MAX_ATTEMPTS = 10_000


def check(eligible_N: np.ndarray) -> None:
    """Raise TgrError where no image may be struck."""
    if not eligible_N.any():
        raise TgrError(
            "no image may be struck: none is classified correctly without a fault; check the labels and weights, "
            "or use --all-images or --label golden"
        )


def too_few(eligible_N: np.ndarray) -> TgrError:
    """Return the error for a pool in which eligible images are too rare to be found by drawing."""
    return TgrError(
        f"only {int(eligible_N.sum())} of {len(eligible_N)} images are classified correctly, too few to draw faults "
        "from; use --images with more images, --all-images or --label golden"
    )


def permuted(eligible_N: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the positions of the eligible images in a random order, which is the same whichever they are."""
    key_N = seeding.words(seed, "order of images", count=len(eligible_N))[:, 0]
    eligible = np.flatnonzero(eligible_N)
    return eligible[np.argsort(key_N[eligible], kind="stable")]


def several(
    site: str, eligible_N: np.ndarray, faults: int, each: int, *, seed: int, stream: str = "fault"
) -> np.ndarray:
    """Return `each` different eligible images for every fault, int64 [F, K]; a fault's do not depend on the others.

    An image that may not be struck, or that the fault has already, is drawn again. Raises TgrError where fewer than
    `each` images are eligible.
    """
    eligible = np.flatnonzero(eligible_N)
    if each > len(eligible):
        raise TgrError(
            f"--images-per-fault is {each}, but only {len(eligible)} images may be struck; "
            f"use at most {len(eligible)}, or --images with more images"
        )
    if each == len(eligible):
        return np.tile(eligible, (faults, 1))
    image_FK, have_F = np.full((faults, each), -1), np.zeros(faults, np.int64)
    for attempt in range(MAX_ATTEMPTS):
        for word_F in seeding.words(seed, f"images of {stream}", site, attempt, count=faults).T:
            candidate_F = seeding.below(word_F, len(eligible_N))
            new_F = eligible_N[candidate_F] & (have_F < each) & ~(image_FK == candidate_F[:, None]).any(axis=1)
            image_FK[new_F, have_F[new_F]] = candidate_F[new_F]
            have_F += new_F
        if (have_F == each).all():
            return image_FK
    raise too_few(eligible_N)
