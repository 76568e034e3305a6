"""How much longer a campaign would have to be for an improvement factor that is not distinguishable from 1.

The variance of a factor's logarithm has two parts. What each draw adds alone, Σe² over draws, falls as one over the
number of faults. What the draws of one image share, the products of different draws' errors within a cluster, stays
however often the same images are struck, and falls only with more images. Their sum is the variance that the interval
rests on, Σ(Σe)² over clusters. Faults in tensors are clusters themselves, so there all of it falls with more faults.

It assumes that the estimate holds, and that the interval keeps its shape. The limit that faces 1 is then about at 1:
even where the estimate is the truth, the odds that the longer campaign decides are even. Drawn images are as good as
new ones while some of the pool were not struck yet; where all are struck equally often, n times, the second part is too
small by 1 / n at each site, as a draw has n - 1 others beside it.
"""

from typing import Literal, NamedTuple

from tgr_cli.metrics.estimates import Figure
from tgr_cli.metrics.intervals import CONFIDENCE

MOST_TIMES = 100  # as many times the faults; beyond that more images are the shorter way
EQUAL = 1e-6  # of the way to the limit that faces 1: nearer to 1 than this is rounding, or beyond any plan


class Settling(NamedTuple):
    """By how many times the number of faults must grow, on the images there are or, with them, the number of images."""

    times: float
    more: Literal["faults", "images"]


def settling(
    baseline: Figure, candidate: Figure, *, faults_are_clusters: bool = False, confidence: float = CONFIDENCE
) -> Settling | None:
    """Return what would bring 1 out of the interval of baseline / candidate, which now holds it, if the estimate holds.

    None where nothing would, as the figures are equal but for rounding, or one of them or the interval is missing; also
    where the interval does not hold 1.
    """
    if not (baseline.value > 0 and candidate.value > 0):
        return None
    logarithm = baseline.logarithm_over(candidate)
    value, low, high, _ = logarithm.estimate(confidence)
    if value == 0 or not low <= 0 <= high:
        return None
    distance = value - low if value > 0 else high - value
    if abs(value) < EQUAL * distance:
        return None
    wanted = (value / distance) ** 2  # share of today's variance at which the limit that faces 1 reaches it
    alone, shared = variance_parts(logarithm)
    if faults_are_clusters:
        alone, shared = alone + shared, 0.0
    spare = wanted * (alone + shared) - shared
    if MOST_TIMES * spare >= alone:
        return Settling(alone / spare, "faults")
    return Settling(1 / wanted, "images")


def variance_parts(figure: Figure) -> tuple[float, float]:
    """Return what each draw adds to the variance alone, and what the draws of one cluster share, which is at least 0.

    Draws of one cluster that make up for each other share less than nothing: the first is then the whole.
    """
    _, error_C = figure.totals()
    total = float((error_C**2).sum())
    alone = min(float((figure.error**2).sum()), total)
    return alone, total - alone
