"""Re-running and duplication together (FILR): the cheapest pair of a threshold and maps that reaches a target.

At every threshold duplication is chosen for the inferences that re-running leaves, and both costs are added: maps are
duplicated in every inference, and a re-run is a second inference of the plain network. Threshold 0 is duplication
alone; 0 maps are re-running alone. So on the analysis images the pair is never dearer than either.

Source: Mahmoud et al. (ISSRE 2021), sections V and VI-D.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tgr_cli.metrics.rerunning import Counted
from tgr_cli.protection import duplication
from tgr_cli.protection.duplication import ROUNDING, Maps


class Pair(NamedTuple):
    """A threshold, the maps duplicated beside it, and the share of multiply-accumulates that both add."""

    threshold: float
    maps: np.ndarray
    overhead: float


def pairs(
    counted: Counted,
    maps: Maps,
    effect_N: np.ndarray,
    confidence_N: np.ndarray,
    threshold_D: np.ndarray,
    rerun_D: Sequence[float],
    target: float,
) -> list[Pair]:
    """Return a pair for each threshold at which the target coverage of SDCs can be reached.

    `confidence_N` is that of the faulty inference, NaN where it is not finite; `rerun_D` is the cost of re-running at
    each threshold, as a share of the multiply-accumulates of all inferences.
    """
    value_N = duplication.contributions(counted, counted.sdc_N)
    found = []
    for threshold, rerun in zip(threshold_D.tolist(), rerun_D, strict=True):
        left_N = ~(confidence_N < threshold)
        caught = float(value_N[~left_N].sum() / value_N.sum())
        order_M = duplication.order(duplication.vulnerability(counted, maps, np.where(left_N, effect_N, 0.0)))
        missing = target - caught
        number = 0 if missing <= ROUNDING else duplication.fewest(counted, maps, order_M, missing, left_N)
        if number is not None:
            chosen = order_M[:number]
            found.append(Pair(threshold, chosen, rerun + float(maps.cost_M[chosen].sum())))
    return found


def cheapest(pairs: Sequence[Pair]) -> Pair | None:
    """Return the pair with the lowest overhead, of equal ones that with the lowest threshold; None of none."""
    return min(pairs, key=lambda pair: (pair.overhead, pair.threshold), default=None)
