"""The analysis and deployment parts of a data set: protection is chosen on one and judged on the other.

Source: Mahmoud et al. (ISSRE 2021), section VI-A: 80 % of the images are for analysis, the same for every network.
"""

from collections.abc import Sequence

import numpy as np

from tgr_cli.errors import TgrError
from tgr_cli.seeding import generator


def analysis(image_ids: Sequence[str], share: float, seed: int) -> np.ndarray:
    """Return which images are for analysis, bool [N]; the others are for deployment.

    It depends on the names of the images, not on their order. Raises TgrError if either part would be empty.
    """
    images = len(image_ids)
    chosen = round(share * images)
    if not 0 < chosen < images:
        raise TgrError(
            f"--split {share:g} of {images} images leaves {chosen} for analysis and {images - chosen} for deployment; "
            "both need images: give another share, as 0.8, or evaluate more images"
        )
    by_name_N = np.argsort(np.array(image_ids, object), kind="stable")
    part_N = np.zeros(images, bool)
    part_N[by_name_N[generator(seed, "analysis").permutation(images)[:chosen]]] = True
    return part_N


def folds(image_ids: Sequence[str], analysis_I: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Return the fold of each image, from 0 to `number` - 1, -1 for those that are not for analysis; int [N].

    Folds differ in size by at most one image, and depend on the names of the images, not on their order. Raises
    TgrError if there are more folds than images for analysis.
    """
    chosen = int(analysis_I.sum())
    if number > chosen:
        raise TgrError(f"--folds is {number}, and {chosen} images are for analysis; give at most as many folds")
    by_name_N = np.argsort(np.array(image_ids, object), kind="stable")
    fold_N = np.full(len(image_ids), -1, np.int64)
    ordered = by_name_N[analysis_I[by_name_N]]
    fold_N[ordered[generator(seed, "folds").permutation(chosen)]] = np.arange(chosen) % number
    return fold_N
