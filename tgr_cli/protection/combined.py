"""Re-running and duplication together (FILR): the cheapest pair of a threshold and maps that reaches a target.

At every threshold duplication is chosen for the inferences that re-running leaves, and both costs are added: maps are
duplicated in every inference, and a re-run is a second inference of the plain network. Threshold 0 is duplication
alone; 0 maps are re-running alone. So on the analysis images the pair is never dearer than either.

Maps are ordered by work, as in FLR, whatever population coverage is counted over.

Source: Mahmoud et al. (ISSRE 2021), sections V and VI-D.
"""

from collections.abc import Iterator
from dataclasses import replace

from tgr_cli.metrics.intervals import Estimate
from tgr_cli.protection import duplication, rerun
from tgr_cli.protection.evidence import Evidence
from tgr_cli.protection.point import ROUNDING, Choice, Point


def points(evidence: Evidence, choice: Choice) -> Iterator[Point]:
    """Yield the pair of each threshold that reaches the target, by order and criterion; the cheapest is chosen.

    Of equally cheap pairs it is that with the lowest threshold.
    """
    for order in choice.orders:
        for criterion in choice.criteria:
            pairs = list(_pairs(evidence, order, criterion, choice))
            best = min(pairs, key=lambda pair: pair.overhead_analysis.mean, default=None)
            yield from (replace(pair, chosen=pair is best) for pair in pairs)


def _pairs(evidence: Evidence, order: str, criterion: str, choice: Choice) -> Iterator[Point]:
    """Yield a point for each threshold at which the target coverage of the analysis' SDCs can be reached."""
    counted = evidence.analysis.counted
    value_N = counted.contributions(counted.sdc_N)
    total = float(value_N.sum())
    if not total > 0:
        return
    overheads = [rerun.overhead(evidence, part, criterion, choice) for part in evidence.parts]
    alarms = rerun.false_alarms(evidence, criterion, choice)
    for place, threshold in enumerate(choice.threshold_D.tolist()):
        again_N = rerun.caught(evidence, criterion, threshold)
        ranked = duplication.rank(evidence, order, ~again_N)
        missing = choice.target - float(value_N[again_N].sum()) / total
        number = 0 if missing <= ROUNDING else duplication.fewest(counted, ranked, missing, ~again_N)
        if number is None:
            continue
        duplicated = float(ranked.overhead[number])
        analysis, deployment = (
            part.coverage.caught(again_N | (needed_N <= duplicated + ROUNDING), choice.confidence)
            for part, needed_N in zip(evidence.parts, (ranked.predicted_N, ranked.deployed_N), strict=True)
        )
        yield Point(
            order=order,
            criterion=criterion,
            threshold=threshold,
            maps=ranked.order_M[:number],
            coverage_analysis=analysis,
            coverage_deployment=deployment,
            overhead_analysis=_plus(overheads[0][place], duplicated),
            overhead_deployment=_plus(overheads[1][place], duplicated),
            false_alarms=alarms[place],
        )


def _plus(share: Estimate, more: float) -> Estimate:
    return Estimate(share.mean + more, share.low + more, share.high + more, share.effective)
