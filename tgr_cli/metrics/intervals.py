"""Intervals for rates and means of faults that come in clusters: the faults that struck one image are alike.

What follows treats the images as a sample, so an interval speaks of images like these, not of these alone.

Suffixes: N draws, C clusters.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927);
P. Hall, "On the removal of skewness by transformation", Journal of the Royal Statistical Society B 54 (1992);
L. Kish, "Survey sampling" (1965), design effect and effective sample size; E. L. Korn and B. I. Graubard, "Confidence
intervals for proportions with small expected number of positive counts estimated from survey data", Survey Methodology
24 (1998), degrees of freedom.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

CONFIDENCE = 0.99
RELIABLE_FROM = 30  # effective contributions below which an interval is flagged
LARGEST = 2.0**256  # its cube is a float64


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Estimate(NamedTuple):
    """An estimate with its confidence interval.

    `low` and `high` are NaN where no interval can be formed. `effective` is how many equal contributions the estimate
    rests on, see `effective`.
    """

    mean: float
    low: float
    high: float
    effective: float

    @property
    def reliable(self) -> bool:
        """Return whether there is an interval, and enough contributions for it."""
        return self.effective >= RELIABLE_FROM and not math.isnan(self.low)


def effective(contribution_C: np.ndarray) -> float:
    """Return how many equal contributions these are worth: (Σ|c|)² / Σc².

    It is the number of those that are not 0 where they are equal, and 1 where a single one outweighs all others.

    >>> effective(np.array([2.0, 2.0, 2.0, 0.0])), round(effective(np.array([1000.0, 1.0, 1.0])), 3)
    (3.0, 1.004)
    """
    scaled_C = contribution_C / _unit(contribution_C)
    squares = float((scaled_C**2).sum())
    return float(np.abs(scaled_C).sum()) ** 2 / squares if squares else 0.0


def _unit(values_C: np.ndarray) -> float:
    """Return the power of two to divide values by whose squares or cubes float64 does not hold; 1 for all others."""
    largest = float(np.abs(values_C).max(initial=0.0))
    return 2.0 ** math.frexp(largest)[1] if largest > LARGEST or 0 < largest < 1 / LARGEST else 1.0


def wilson(successes: float, trials: float, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's score interval for a proportion (Wilson 1927); it holds successes / trials and lies in [0, 1].

    Neither number need be whole: an effective sample size is not, which is why this is not
    `scipy.stats.binomtest(...).proportion_ci(method="wilson")`, with which it agrees for whole ones.

    >>> low, high = wilson(0, 1000, confidence=0.99)  # no fault of a thousand was an SDC: the rate may be 0.66 %
    >>> f"{low:.4f} to {high:.4f}"
    '0.0000 to 0.0066'
    """
    assert 0 <= successes <= trials, (successes, trials)
    assert trials > 0
    z2 = float(special.ndtri(0.5 + confidence / 2)) ** 2
    share = successes / trials
    centre = (successes + z2 / 2) / (trials + z2)
    half = math.sqrt(z2 * (trials * share * (1 - share) + z2 / 4)) / (trials + z2)
    # Rounding may push a limit past the estimate or the ends of the scale by the last bit.
    return Interval(float(max(0.0, min(centre - half, share))), float(min(1.0, max(centre + half, share))))


def skewed_interval(value: float, error_C: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Return a t interval corrected for skewness, from the value and what each cluster adds to its error.

    With A the skewness of the error, Σe³ / (Σe²)^1.5, and T the error over its standard error, ((1 + A·T / 3)³ - 1) / A
    + A / 6 is nearer to normal than T is, and increases with it (Hall 1992, the cubic transformation). Solving it for
    the t quantiles q at C - 1 degrees of freedom gives the limits; without skewness they are those of the t interval.
    The limit on the long side reaches further out where a few clusters carry the value. There the transformation is
    flat where 1 + A·T / 3 is near 0, and its inverse shoots out: the limit is held to q + 2 A (2 q² + 1) / 6 standard
    errors, twice the correction of the Edgeworth expansion, which kept coverage where it was tried
    (benchmarks/interval_coverage.py). Both limits are NaN for a single cluster.
    """
    unit = _unit(error_C)
    error_C = error_C / unit
    clusters, squares = len(error_C), float((error_C**2).sum())
    if clusters < 2:
        return Interval(math.nan, math.nan)
    if squares == 0:
        return Interval(value, value)
    error = math.sqrt(squares * clusters / (clusters - 1))
    skewness = float((error_C**3).sum()) / squares**1.5
    quantile = float(special.stdtrit(clusters - 1, 0.5 + confidence / 2))
    furthest = quantile + abs(skewness) * (2 * quantile**2 + 1) / 3

    def untransformed(x: float) -> float:
        if abs(skewness) < 1e-6:
            return x
        return float(3 / skewness * (np.cbrt(1 + skewness * (x - skewness / 6)) - 1))

    below, above = min(untransformed(quantile), furthest), max(untransformed(-quantile), -furthest)
    return Interval(value - error * unit * below, value - error * unit * above)


def score_interval(
    rate: float,
    error_C: np.ndarray,
    hit_N: np.ndarray,
    size_N: np.ndarray,
    confidence: float = CONFIDENCE,
    *,
    clusters: int | None = None,
) -> Interval:
    """Return Wilson's interval at the effective sample size, for the rate Σ hit of N yes-or-no draws.

    `size_N` is what each draw adds to the rate if it is a hit, `hit_N` what it did add, `error_C` what each cluster
    adds to the error. Where the rate is that of a part of what was drawn, `clusters` is how many hold any of that part:
    the others say nothing of it, and give no degree of freedom (None: all of `error_C`).

    The effective size is p(1 - p) over the variance of the clusters' totals, which is N over the design effect (Kish
    1965), times the squared ratio of the t quantiles at N - 1 and C - 1 degrees of freedom (Korn and Graubard 1998); at
    most what independent hits of these sizes are worth, and at least 1, which is also what a single cluster is worth.

    Hits that were not seen may be larger than those that were: Σ size² / Σ size is the size of a typical fault's. It
    is what counts where there is no hit, and 1 / (k + 1)² of what it exceeds the size of k effective hits by where
    there are some. Under equal weights nothing of this changes Wilson's interval.
    """
    clusters = len(error_C) if clusters is None else clusters
    share, quantile = min(rate, 1.0), 0.5 + confidence / 2
    typical = float((size_N**2).sum() / size_N.sum())
    spread, hits = share * (1 - share), float(hit_N.sum())
    seen = typical
    if clusters > 1 and spread > 0:
        variance = float((error_C**2).sum()) * clusters / (clusters - 1)
        seen = max(variance / spread, float((hit_N**2).sum()) / hits)
        seen += max(typical - seen, 0.0) / (effective(hit_N) + 1) ** 2
    trials = 1.0
    if clusters > 1:
        ratio = special.stdtrit(len(hit_N) - 1, quantile) / special.stdtrit(clusters - 1, quantile)
        trials = max(ratio**2 / seen, 1.0)
    return wilson(share * trials, trials, confidence)
