"""Duplication of feature maps (FLR): which maps to compute twice, what that costs, and which SDCs it catches.

A map's vulnerability is V = V_orig × P_prop: its share of the work, times the mean effect of a fault in it, which is
either a mismatch (1 for an SDC) or dLoss. The most vulnerable maps are protected first, as published: the order does
not divide by cost. A fault is caught if its map is duplicated. Coverage is judged by SDCs, whatever the order is by.

An order covers the faults that it was made from better than others, the more so the fewer faults a map has. So the
coverage on the analysis images is predicted by folds: each image's faults are covered by the order that was made
without the images of its fold (cross-validation), at the same overhead. With one fold, prediction and choice rest on
the same faults, as published.

Suffixes: N draws, M maps, D points of a curve.

Source: Mahmoud et al. (ISSRE 2021), sections III and VI-B, equations 1 and 3.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tgr_cli.metrics.sdc_coverage import Counted
from tgr_cli.protection.evidence import Evidence
from tgr_cli.protection.maps import Maps
from tgr_cli.protection.point import ROUNDING, Choice, Point, known

STEPS = 100  # points of a curve, at equal distances of the overhead


class Ranked(NamedTuple):
    """Maps in the order in which they are duplicated, [M], and the overhead of the first 0, 1, … M of them, [M + 1].

    `deployed_N` is the overhead from which a draw's fault is caught by this order, infinite for a fault outside of all
    maps. `predicted_N` is that by the order made without the fold of the draw's image; the same if there is one fold.
    """

    order_M: np.ndarray
    overhead: np.ndarray
    deployed_N: np.ndarray
    predicted_N: np.ndarray


def points(evidence: Evidence, choice: Choice) -> Iterator[Point]:
    """Yield points of every order, and the one with the fewest maps that reaches the target, which is chosen."""
    maps = maps_of(evidence)
    for name in choice.orders:
        ranked = rank(evidence, name)
        chosen = fewest(evidence.analysis.counted, ranked, choice.target, np.ones(len(maps.of_N), bool))
        number_D = shown(ranked.overhead, chosen)
        overhead_D = ranked.overhead[number_D]
        analysis, deployment = (
            part.coverage.nested(first_caught(overhead_D, needed_N), len(number_D), choice.confidence)
            for part, needed_N in zip(evidence.parts, (ranked.predicted_N, ranked.deployed_N), strict=True)
        )
        for place, number in enumerate(number_D.tolist()):
            overhead = known(float(overhead_D[place]))
            yield Point(
                order=name,
                maps=ranked.order_M[:number],
                coverage_analysis=analysis[place],
                coverage_deployment=deployment[place],
                overhead_analysis=overhead,
                overhead_deployment=overhead,
                false_alarms=known(0.0),
                chosen=number == chosen,
            )


def rank(evidence: Evidence, name: str, left_N: np.ndarray | None = None) -> Ranked:
    """Return the maps, the most vulnerable on the analysis images first; `left_N` are the draws to regard."""
    maps, fold_N = maps_of(evidence), evidence.fold_N
    left_N = np.ones(len(fold_N), bool) if left_N is None else left_N
    order_M = order(VULNERABILITIES[name](evidence, left_N))
    deployed_N = needed(maps, order_M)
    predicted_N, folds = deployed_N, int(fold_N.max()) + 1
    if folds > 1:
        predicted_N = deployed_N.copy()
        for fold in range(folds):
            without_M = order(VULNERABILITIES[name](evidence, left_N & (fold_N != fold)))
            predicted_N[fold_N == fold] = needed(maps, without_M)[fold_N == fold]
    return Ranked(order_M, overheads(maps, order_M), deployed_N, predicted_N)


def maps_of(evidence: Evidence) -> Maps:
    """Return the feature maps, which techniques that need them are given."""
    assert evidence.maps is not None, "a technique that needs feature maps was given none"
    return evidence.maps


def by_mismatch(evidence: Evidence, left_N: np.ndarray) -> np.ndarray:
    """Return each map's share of the work times its rate of SDCs."""
    return _by_map(evidence, (evidence.analysis.counted.sdc_N & left_N).astype(np.float64))


def by_dloss(evidence: Evidence, left_N: np.ndarray) -> np.ndarray:
    """Return each map's share of the work times the mean dLoss of its faults with a finite outcome."""
    return _mean_by_map(evidence, evidence.dloss_N, left_N)


def by_value(evidence: Evidence, left_N: np.ndarray) -> np.ndarray:
    """Return each map's share of the work times the mean absolute value of its elements without a fault.

    A value-based heuristic: no outcome of a fault is looked at, and `left_N` does not matter.
    """
    return _mean_by_map(evidence, np.abs(evidence.value_N), evidence.fold_N >= 0)


def by_work(evidence: Evidence, left_N: np.ndarray) -> np.ndarray:
    """Return each map's share of the work alone: what is known of a network before anything is run."""
    return maps_of(evidence).cost_M


def _mean_by_map(evidence: Evidence, value_N: np.ndarray, left_N: np.ndarray) -> np.ndarray:
    """Return each map's share of the work times the mean of the values that are numbers, of the draws `left_N`, [M].

    Draws that are not left count as 0.
    """
    here_N, known_N = evidence.analysis.draw_N, ~np.isnan(value_N)
    effect_M = _by_map(evidence, np.where(here_N & left_N & known_N, value_N, 0.0))
    every_M, known_M = (_by_map(evidence, (here_N & kept_N).astype(np.float64)) for kept_N in (here_N, known_N))
    return effect_M * np.divide(every_M, known_M, out=np.ones_like(every_M), where=known_M > 0)


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


def needed(maps: Maps, order_M: np.ndarray) -> np.ndarray:
    """Return the overhead from which the fault of each draw is caught, infinite outside of all maps, [N]."""
    needed_M = np.empty(len(order_M))
    needed_M[order_M] = overheads(maps, order_M)[1:]
    return np.where(maps.of_N >= 0, needed_M[maps.of_N], np.inf)


def first_caught(overhead_D: np.ndarray, needed_N: np.ndarray) -> np.ndarray:
    """Return the index of the first of ascending overheads that catches each draw's fault, D for none, [N]."""
    return np.searchsorted(overhead_D, needed_N - ROUNDING, side="left")


def fewest(counted: Counted, ranked: Ranked, share: float, left_N: np.ndarray) -> int | None:
    """Return the fewest maps predicted to catch `share` of all SDCs, those of the draws `left_N`; None if none do."""
    value_N = counted.contributions(counted.sdc_N)
    total = float(value_N.sum())
    if not total > 0:
        return None
    first_N = first_caught(ranked.overhead, ranked.predicted_N)
    caught = np.cumsum(np.bincount(first_N, np.where(left_N, value_N, 0.0), len(ranked.overhead) + 1)[:-1])
    place = int(np.searchsorted(caught, (share - ROUNDING) * total, side="left"))
    return place if place < len(caught) else None


# By what maps can be ordered: what injected faults did, and heuristics that need none.
INJECTED: Mapping[str, Callable[[Evidence, np.ndarray], np.ndarray]] = {"dloss": by_dloss, "mismatch": by_mismatch}
HEURISTICS: Mapping[str, Callable[[Evidence, np.ndarray], np.ndarray]] = {"value": by_value, "work": by_work}
VULNERABILITIES = {**INJECTED, **HEURISTICS}


class Agreement(NamedTuple):
    """How alike a heuristic and an injected order rank all maps: Spearman's rho, Kendall's tau-b; NaN if constant."""

    order: str
    injected: str
    spearman: float
    kendall: float


def agreements(evidence: Evidence, orders: Sequence[str]) -> Iterator[Agreement]:
    """Yield the rank correlation of every heuristic among `orders` with both injected orders."""
    from scipy import stats  # imported here: it takes a second to load, and few commands need it

    every_N = np.ones(len(evidence.dloss_N), bool)
    for name in (name for name in orders if name in HEURISTICS):
        ours_M = HEURISTICS[name](evidence, every_N)
        for injected, by in INJECTED.items():
            theirs_M = by(evidence, every_N)
            if not (np.ptp(ours_M) and np.ptp(theirs_M)):
                yield Agreement(name, injected, np.nan, np.nan)
                continue
            rho, tau = (f(ours_M, theirs_M).statistic for f in (stats.spearmanr, stats.kendalltau))
            yield Agreement(name, injected, float(rho), float(tau))
