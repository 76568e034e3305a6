"""Chooses the images that the faults of a site are injected into.

Suffixes: N images of the pool, F faults, K images per fault.
"""

import numpy as np

from tgr_cli import seeding
from tgr_cli.errors import TgrError

MAX_ATTEMPTS = 10_000


def check(eligible_N: np.ndarray) -> None:
    """Raise TgrError if no image is eligible."""
    if not eligible_N.any():
        raise TgrError(
            "no image may be struck: none is classified correctly without a fault; check the labels and weights, "
            "or use --all-images or --label golden"
        )


def too_few(eligible_N: np.ndarray) -> TgrError:
    """Return the error for a pool in which eligible images are too rare for rejection sampling."""
    return TgrError(
        f"only {int(eligible_N.sum())} of {len(eligible_N)} images are classified correctly, too few to draw faults "
        "from; use --images with more images, --all-images or --label golden"
    )


def permuted(eligible_N: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the positions of the eligible images in random order.

    The relative order of two images does not depend on which others are eligible.
    """
    key_N = seeding.words(seed, "order of images", count=len(eligible_N))[:, 0]
    eligible = np.flatnonzero(eligible_N)
    return eligible[np.argsort(key_N[eligible], kind="stable")]


def numbers(start: int, images: int, count: int, among: int) -> np.ndarray:
    """Return the numbers of the faults in some images, int64 [images, R]; those >= `count` are none.

    `count` faults are dealt to the `among` images of a pool in turn; these images are `start` and those after it.
    """
    return np.arange(start, start + images)[:, None] + np.arange(0, count, among)


def first_images(site: str, places: int, among: int, *, seed: int) -> np.ndarray:
    """Return where among the images each place's faults begin, int64 [P]; the first place's begin alike at all sites.

    Otherwise the first faults of all places would share their images.
    """
    first_P = seeding.below(seeding.words(seed, "first image", site, count=places)[:, 0], among)
    first_P[0] = seeding.below(seeding.words(seed, "first image", count=1)[:, 0], among)[0]
    return first_P


def several(
    site: str, eligible_N: np.ndarray, faults: int, each: int, *, seed: int, stream: str = "fault"
) -> np.ndarray:
    """Return `each` distinct eligible images per fault, int64 [F, K]; a fault's images depend on its number only.

    Images that are not eligible or already chosen for the fault are rejected and redrawn. Raises TgrError if fewer than
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
