"""How much larger a campaign must be to resolve an improvement factor that is not distinguishable from 1.

The variance of a factor's logarithm has two parts. The sum over draws of squared errors, Σe², decreases as 1 / number
of faults. The covariance of draws in the same image, the cross products within a cluster, decreases only with more
images. Together they are the variance of the interval, Σ(Σe)² over clusters. Faults in tensors are clusters themselves,
so there all of the variance decreases with more faults.

It is assumed that the estimate is true and the interval keeps its shape. The limit closer to 1 is then expected to be
at about 1, so even in that case the larger campaign decides with probability 1/2. While some images of the pool are
unused, further draws bring new images. If all images have n faults each, the second part is underestimated by 1 / n at
each site, since a draw has only n - 1 others in its image.
"""

from typing import Literal, NamedTuple

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.estimates import LinearisedEstimate

MOST_TIMES = 100  # largest factor on the number of faults; beyond it more images are cheaper
# relative to the distance to the limit closer to 1; a smaller difference from 1 is rounding, or out of reach
EQUAL = 1e-6


class Settling(NamedTuple):
    """The factor by which the number of faults or, with `more` = "images", of images must grow."""

    times: float
    more: Literal["faults", "images"]


def settling(
    baseline: LinearisedEstimate,
    candidate: LinearisedEstimate,
    *,
    faults_are_clusters: bool = False,
    confidence: float = CONFIDENCE,
) -> Settling | None:
    """Return the growth that would exclude 1 from the interval of baseline / candidate, if the estimate is true.

    None if the interval does not contain 1, if the estimates are equal up to rounding, or if an estimate or the
    interval is missing.
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
    wanted = (value / distance) ** 2  # share of the present variance at which the limit closer to 1 reaches it
    alone, shared = variance_parts(logarithm)
    if faults_are_clusters:
        alone, shared = alone + shared, 0.0
    spare = wanted * (alone + shared) - shared
    if MOST_TIMES * spare >= alone:
        return Settling(alone / spare, "faults")
    return Settling(1 / wanted, "images")


def variance_parts(figure: LinearisedEstimate) -> tuple[float, float]:
    """Return the variance from single draws, and that from covariances within clusters, which is at least 0.

    If the covariances are negative, all of the variance is attributed to single draws.
    """
    _, error_C = figure.totals()
    total = float((error_C**2).sum())
    alone = min(float((figure.error**2).sum()), total)
    return alone, total - alone
