"""Re-running and duplication together (FILR): the cheapest pair of a threshold and maps that reaches a target.

At every threshold duplication is chosen for the inferences that re-running leaves, and both costs are added: maps are
duplicated in every inference, and a re-run is a second inference of the plain network. Threshold 0 is duplication
alone; 0 maps are re-running alone. So on the analysis images the pair is never dearer than either.

Maps are ordered by work, as in FLR, whatever population coverage is counted over.

Source: Mahmoud et al. (ISSRE 2021), sections V and VI-D.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tgr_cli.metrics.intervals import Estimate
from tgr_cli.protection import duplication, rerun
from tgr_cli.protection.evidence import Evidence
from tgr_cli.protection.point import ROUNDING, Choice, Point


class Pair(NamedTuple):
    """The place of a threshold, the maps duplicated beside it, and the share of multiply-accumulates that both add."""

    place: int
    maps: np.ndarray
    overhead: float


def points(evidence: Evidence, choice: Choice) -> Iterator[Point]:
    """Yield the pair of each threshold that reaches the target, by order and criterion; the cheapest is chosen."""
    maps = duplication.maps_of(evidence)
    for order in choice.orders:
        for criterion in choice.criteria:
            overheads = [rerun.overhead(evidence, part, criterion, choice) for part in evidence.parts]
            alarms = rerun.false_alarms(evidence, criterion, choice)
            found = pairs(evidence, order, criterion, choice, [each.mean for each in overheads[0]])
            best = cheapest(found)
            for pair in found:
                threshold = float(choice.threshold_D[pair.place])
                caught_N = rerun.caught(evidence, criterion, threshold) | np.isin(maps.of_N, pair.maps)
                analysis, deployment = (part.coverage.caught(caught_N, choice.confidence) for part in evidence.parts)
                duplicated = float(maps.cost_M[pair.maps].sum())
                yield Point(
                    order=order,
                    criterion=criterion,
                    threshold=threshold,
                    maps=pair.maps,
                    coverage_analysis=analysis,
                    coverage_deployment=deployment,
                    overhead_analysis=_plus(overheads[0][pair.place], duplicated),
                    overhead_deployment=_plus(overheads[1][pair.place], duplicated),
                    false_alarms=alarms[pair.place],
                    chosen=pair is best,
                )


def pairs(evidence: Evidence, order: str, criterion: str, choice: Choice, rerun_D: Sequence[float]) -> list[Pair]:
    """Return a pair for each threshold at which the target coverage of the analysis' SDCs can be reached.

    `rerun_D` is the cost of re-running at each threshold, as a share of the multiply-accumulates of all inferences.
    """
    maps, counted = duplication.maps_of(evidence), evidence.analysis.counted
    value_N = counted.contributions(counted.sdc_N)
    total, found = float(value_N.sum()), list[Pair]()
    if not total > 0:
        return found
    for place, threshold in enumerate(choice.threshold_D.tolist()):
        left_N = ~rerun.caught(evidence, criterion, threshold)
        missing = choice.target - float(value_N[~left_N].sum()) / total
        order_M = duplication.order(duplication.vulnerability(evidence, order, left_N))
        number = 0 if missing <= ROUNDING else duplication.fewest(counted, maps, order_M, missing, left_N)
        if number is not None:
            chosen_M = order_M[:number]
            found.append(Pair(place, chosen_M, rerun_D[place] + float(maps.cost_M[chosen_M].sum())))
    return found


def cheapest(pairs: Sequence[Pair]) -> Pair | None:
    """Return the pair with the lowest overhead, of equal ones that with the lowest threshold; None of none."""
    return min(pairs, key=lambda pair: (pair.overhead, pair.place), default=None)


def _plus(share: Estimate, more: float) -> Estimate:
    return Estimate(share.mean + more, share.low + more, share.high + more, share.effective)
