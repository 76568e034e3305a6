"""Measures of the difference between two maps of one image.

Suffixes: H W height and width.
"""

import math

import numpy as np


def correlation(before_HW: np.ndarray, after_HW: np.ndarray) -> float | None:
    """Return Pearson's correlation of two maps, in [-1, 1]; None if either is constant."""
    if np.ptp(before_HW) == 0 or np.ptp(after_HW) == 0:
        return None
    return float(np.clip(np.corrcoef(np.ravel(before_HW), np.ravel(after_HW))[0, 1], -1, 1))


def centre(map_HW: np.ndarray) -> tuple[float, float] | None:
    """Return the centre of mass of a map as fractions of its height and width; None if the map is all 0."""
    mass_HW = np.asarray(map_HW, np.float64)
    if not mass_HW.any():
        return None
    rows_H, columns_W = ((np.arange(size) + 0.5) / size for size in mass_HW.shape)
    total = mass_HW.sum()
    return float(mass_HW.sum(axis=1) @ rows_H / total), float(mass_HW.sum(axis=0) @ columns_W / total)


def distance(before_HW: np.ndarray, after_HW: np.ndarray) -> float | None:
    """Return the distance between the centres of mass, as a fraction of the diagonal; None if either map is all 0.

    The image is assumed to be square.
    """
    before, after = centre(before_HW), centre(after_HW)
    return None if before is None or after is None else math.dist(before, after) / math.sqrt(2)


def difference(before_HW: np.ndarray, after_HW: np.ndarray) -> float:
    """Return the mean absolute difference of two maps, each scaled to [0, 1]."""
    return float(np.abs(after_HW.astype(np.float64) - before_HW).mean())
