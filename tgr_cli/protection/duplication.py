"""Duplication of feature maps (FLR): which maps to compute twice, what that costs, and which SDCs it catches.

A map's vulnerability is V = V_orig × P_prop: its share of the work, times the mean effect of a fault in it, which is
either a mismatch (1 for an SDC) or dLoss. The most vulnerable maps are protected first, as published: the order does
not divide by cost. A fault is caught if its map is duplicated. Coverage is judged by SDCs, whatever the order is by.

Suffixes: N draws, M maps, D numbers of maps.

Source: Mahmoud et al. (ISSRE 2021), sections III and VI-B, equations 1 and 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.rerunning import Counted, nested_coverages

ROUNDING = 1e-12  # sums of shares may miss a target by this


@dataclass(frozen=True)
class Maps:
    """The feature maps: each one's share of the network's multiply-accumulates, [M], and the map of each draw, [N].

    A draw outside of all maps has -1.
    """

    cost_M: np.ndarray
    of_N: np.ndarray


def vulnerability(counted: Counted, maps: Maps, effect_N: np.ndarray) -> np.ndarray:
    """Return each map's V, [M], up to a common factor: the sum of its faults' contributions to the population's effect.

    `counted.coefficient_S` is each place's share of the multiply-accumulates for V_orig as published.
    """
    inside_N = maps.of_N >= 0
    value_N = contributions(counted, effect_N)
    return np.bincount(maps.of_N[inside_N], value_N[inside_N], minlength=len(maps.cost_M))


def contributions(counted: Counted, effect_N: np.ndarray) -> np.ndarray:
    """Return each draw's contribution to the population's mean effect, [N]."""
    draws = counted.draws
    return (counted.coefficient_S / draws.per_site)[draws.site] * draws.weight * effect_N


def order(vulnerability_M: np.ndarray) -> np.ndarray:
    """Return the maps, the most vulnerable first; equal ones in the order of the network."""
    return np.argsort(-vulnerability_M, kind="stable")


def overheads(maps: Maps, order_M: np.ndarray) -> np.ndarray:
    """Return the share of multiply-accumulates added by the first 0, 1, … M maps of the order, [M + 1]."""
    return np.concatenate([[0.0], np.cumsum(maps.cost_M[order_M])])


def coverages(
    counted: Counted, maps: Maps, order_M: np.ndarray, number_D: Sequence[int], confidence: float = CONFIDENCE
) -> list[Estimate]:
    """Return the share of SDCs caught by the first maps of the order, for each ascending number of them."""
    return nested_coverages(counted, first_caught(maps, order_M, number_D), len(number_D), confidence)


def first_caught(maps: Maps, order_M: np.ndarray, number_D: Sequence[int]) -> np.ndarray:
    """Return the index of the first number of maps that catches each draw's fault, D for none, [N]."""
    needed_M = np.empty(len(order_M), np.int64)
    needed_M[order_M] = np.arange(1, len(order_M) + 1)
    first_N = np.full(len(maps.of_N), len(number_D), np.int64)
    inside_N = maps.of_N >= 0
    first_N[inside_N] = np.searchsorted(np.asarray(number_D), needed_M[maps.of_N[inside_N]], side="left")
    return first_N


def fewest(counted: Counted, maps: Maps, order_M: np.ndarray, share: float, left_N: np.ndarray) -> int | None:
    """Return the fewest maps that catch `share` of all SDCs among the draws `left_N`, None if all are too few."""
    value_N = contributions(counted, counted.sdc_N)
    needed = share * value_N.sum() - ROUNDING * value_N.sum()
    kept_N = left_N & (maps.of_N >= 0)
    caught_M = np.bincount(maps.of_N[kept_N], value_N[kept_N], minlength=len(order_M))[order_M]
    caught = np.concatenate([[0.0], np.cumsum(caught_M)])
    place = int(np.searchsorted(caught, needed, side="left"))
    return place if place < len(caught) else None
