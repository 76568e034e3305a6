"""Duplication of feature maps (FLR): which maps to compute twice, what that costs, and which SDCs it catches.

A map's vulnerability is V = V_orig × P_prop: its share of the work, times the mean effect of a fault in it, which is
either a mismatch (1 for an SDC) or dLoss. The most vulnerable maps are protected first, as published: the order does
not divide by cost. A fault is caught if its map is duplicated. Coverage is judged by SDCs, whatever the order is by.

Suffixes: N draws, M maps, D numbers of maps.

Source: Mahmoud et al. (ISSRE 2021), sections III and VI-B, equations 1 and 3.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tgr_cli.metrics.sdc_coverage import Counted
from tgr_cli.protection.evidence import Evidence
from tgr_cli.protection.maps import Maps
from tgr_cli.protection.point import ROUNDING, Choice, Point, known

STEPS = 100  # points of a curve, at equal distances of the overhead


def points(evidence: Evidence, choice: Choice) -> Iterator[Point]:
    """Yield points of every order, and the one with the fewest maps that reaches the target, which is chosen."""
    maps = maps_of(evidence)
    for name in choice.orders:
        order_M = order(vulnerability(evidence, name))
        overhead = overheads(maps, order_M)
        chosen = fewest(evidence.analysis.counted, maps, order_M, choice.target, np.ones(len(maps.of_N), bool))
        number_D = shown(overhead, chosen)
        first_N = first_caught(maps, order_M, number_D)
        analysis, deployment = (
            part.coverage.nested(first_N, len(number_D), choice.confidence) for part in evidence.parts
        )
        for place, number in enumerate(number_D.tolist()):
            yield Point(
                order=name,
                maps=order_M[:number],
                coverage_analysis=analysis[place],
                coverage_deployment=deployment[place],
                overhead_analysis=known(float(overhead[number])),
                overhead_deployment=known(float(overhead[number])),
                false_alarms=known(0.0),
                chosen=number == chosen,
            )


def maps_of(evidence: Evidence) -> Maps:
    """Return the feature maps, which techniques that need them are given."""
    assert evidence.maps is not None, "a technique that needs feature maps was given none"
    return evidence.maps


def vulnerability(evidence: Evidence, order: str, left_N: np.ndarray | None = None) -> np.ndarray:
    """Return each map's V on the analysis images, [M], up to a common factor; `left_N` are the draws to regard."""
    return VULNERABILITIES[order](evidence, np.ones(len(evidence.dloss_N), bool) if left_N is None else left_N)


def by_mismatch(evidence: Evidence, left_N: np.ndarray) -> np.ndarray:
    """Return each map's share of the work times its rate of SDCs."""
    return _by_map(evidence, (evidence.analysis.counted.sdc_N & left_N).astype(np.float64))


def by_dloss(evidence: Evidence, left_N: np.ndarray) -> np.ndarray:
    """Return each map's share of the work times the mean dLoss of its faults with a finite outcome."""
    here_N = evidence.analysis.draw_N
    finite_N = ~np.isnan(evidence.dloss_N)
    effect_M = _by_map(evidence, np.where(here_N & left_N & finite_N, evidence.dloss_N, 0.0))
    every_M, finite_M = (_by_map(evidence, (here_N & kept_N).astype(np.float64)) for kept_N in (here_N, finite_N))
    return effect_M * np.divide(every_M, finite_M, out=np.ones_like(every_M), where=finite_M > 0)


def _by_map(evidence: Evidence, effect_N: np.ndarray) -> np.ndarray:
    """Return the sum of the draws' contributions to the effect of the population counted by work, by map."""
    maps, struck = maps_of(evidence), evidence.injected.struck
    by_work = replace(evidence.analysis.counted, coefficient_S=maps.work.coefficients(struck.sites))
    return sum_by_map(maps, by_work.contributions(effect_N))


def sum_by_map(maps: Maps, value_N: np.ndarray) -> np.ndarray:
    """Return the sum of the draws' values by map, [M]."""
    inside_N = maps.of_N >= 0
    return np.bincount(maps.of_N[inside_N], value_N[inside_N], minlength=len(maps.cost_M))


def order(vulnerability_M: np.ndarray) -> np.ndarray:
    """Return the maps, the most vulnerable first; equal ones in the order of the network."""
    return np.argsort(-vulnerability_M, kind="stable")


def overheads(maps: Maps, order_M: np.ndarray) -> np.ndarray:
    """Return the share of multiply-accumulates added by the first 0, 1, … M maps of the order, [M + 1]."""
    return np.concatenate([[0.0], np.cumsum(maps.cost_M[order_M])])


def shown(overhead: np.ndarray, chosen: int | None) -> np.ndarray:
    """Return the numbers of maps of a curve, ascending: about every hundredth of the overhead, and the chosen one."""
    spaced = np.searchsorted(overhead, np.linspace(0, overhead[-1], STEPS + 1) - ROUNDING)
    return np.unique(np.append(spaced, len(overhead) - 1 if chosen is None else [chosen, len(overhead) - 1]))


def first_caught(maps: Maps, order_M: np.ndarray, number_D: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the index of the first number of maps that catches each draw's fault, D for none, [N]."""
    needed_M = np.empty(len(order_M), np.int64)
    needed_M[order_M] = np.arange(1, len(order_M) + 1)
    first_N = np.full(len(maps.of_N), len(number_D), np.int64)
    inside_N = maps.of_N >= 0
    first_N[inside_N] = np.searchsorted(np.asarray(number_D), needed_M[maps.of_N[inside_N]], side="left")
    return first_N


def fewest(counted: Counted, maps: Maps, order_M: np.ndarray, share: float, left_N: np.ndarray) -> int | None:
    """Return the fewest maps that catch `share` of all SDCs among the draws `left_N`, None if all are too few."""
    value_N = counted.contributions(counted.sdc_N)
    total = float(value_N.sum())
    if not total > 0:
        return None
    caught_M = sum_by_map(maps, np.where(left_N, value_N, 0.0))[order_M]
    caught = np.concatenate([[0.0], np.cumsum(caught_M)])
    place = int(np.searchsorted(caught, (share - ROUNDING) * total, side="left"))
    return place if place < len(caught) else None


# By what maps can be ordered.
VULNERABILITIES: Mapping[str, Callable[[Evidence, np.ndarray], np.ndarray]] = {
    "dloss": by_dloss,
    "mismatch": by_mismatch,
}
