"""Confidence intervals for rates and means of clustered faults: effects in the same image are correlated.

The images are treated as a sample, so an interval holds for the population of similar images, not only for these.

Suffixes: N draws, C clusters.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927); P. Hall,
"On the removal of skewness by transformation", Journal of the Royal Statistical Society B 54 (1992); L. Kish, "Survey
sampling" (1965), design effect and effective sample size; E. L. Korn and B. I. Graubard, "Confidence intervals for
proportions with small expected number of positive counts estimated from survey data", Survey Methodology 24 (1998),
degrees of freedom.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from tgr_cli.defaults import CONFIDENCE

RELIABLE_FROM = 30  # effective sample size below which an interval is flagged as unreliable
LARGEST = 2.0**256  # larger values are rescaled, as their cubes may overflow float64


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Estimate(NamedTuple):
    """An estimate with its confidence interval.

    `low` and `high` are NaN if no interval can be formed. `effective` is the effective sample size, see `effective`.
    """

    mean: float
    low: float
    high: float
    effective: float

    @property
    def reliable(self) -> bool:
        """Return whether there is an interval, and the effective sample size is large enough for it."""
        return self.effective >= RELIABLE_FROM and not math.isnan(self.low)


def effective(contribution_C: np.ndarray) -> float:
    """Return the effective number of contributions, (Σ|c|)² / Σc².

    It is the number of non-zero contributions if these are equal, and approaches 1 if a single one dominates.

    >>> effective(np.array([2.0, 2.0, 2.0, 0.0])), round(effective(np.array([1000.0, 1.0, 1.0])), 3)
    (3.0, 1.004)
    """
    scaled_C = contribution_C / _unit(contribution_C)
    squares = float((scaled_C**2).sum())
    return float(np.abs(scaled_C).sum()) ** 2 / squares if squares else 0.0


def _unit(values_C: np.ndarray) -> float:
    """Return a power of two that scales values whose squares or cubes leave the range of float64; 1 for others."""
    largest = float(np.abs(values_C).max(initial=0.0))
    return 2.0 ** math.frexp(largest)[1] if largest > LARGEST or 0 < largest < 1 / LARGEST else 1.0


def wilson(successes: float, trials: float, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's score interval for a proportion (Wilson 1927); it contains successes / trials, within [0, 1].

    The numbers may be fractional, as effective sample sizes are. For integers it equals
    `scipy.stats.binomtest(...).proportion_ci(method="wilson")`, which accepts integers only.

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
    # Rounding may put a limit beyond the estimate, 0 or 1 in the last bit.
    return Interval(float(max(0.0, min(centre - half, share))), float(min(1.0, max(centre + half, share))))


def skewed_interval(value: float, error_C: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Return a skewness-corrected t interval from the value and each cluster's contribution to its error.

    Let A be the skewness of the error, Σe³ / (Σe²)^1.5, and T the error / its standard error. Then ((1 + A·T / 3)³ - 1)
    / A + A / 6 is closer to normal than T, and increases with it (Hall 1992, the cubic transformation). The limits
    solve it for the t quantiles ± q at C - 1 degrees of freedom; for A = 0 this is the t interval.

    The longer side extends further if a few clusters dominate. There the transformation is flat where 1 + A·T / 3 is
    near 0, so its inverse diverges. The limit is therefore capped at q + 2 A (2 q² + 1) / 6 standard errors, twice the
    correction of the Edgeworth expansion; simulations kept their coverage with this cap
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
    equal_N: np.ndarray | None = None,
) -> Interval:
    """Return Wilson's interval at the effective sample size, for the rate Σ hit of N binary draws.

    `size_N` is the contribution of each draw to the rate if it is a hit, `hit_N` its actual contribution, `error_C`
    each cluster's contribution to the error. For the rate in a subpopulation, `clusters` is the number of clusters with
    draws in it; the others carry no information and no degree of freedom (None: all of `error_C`). `equal_N` is the
    size that each draw would have without a weight (None: `size_N`).

    The effective size is p(1 - p) / variance of the cluster totals, which is N / design effect (Kish 1965), times the
    squared ratio of the t quantiles at N - 1 and C - 1 degrees of freedom (Korn and Graubard 1998). It is at most the
    effective size of independent hits of these sizes, and at least 1, which is also that of a single cluster.

    Unobserved hits may be larger than the observed ones. The typical size of a fault is Σ size² / Σ size. With k
    effective hits, the observed size is increased by 1 / (k + 1)² of the excess of the typical size over it. Without a
    hit it is the typical size of equal draws. That assumes something of the draw: that faults which are drawn more
    often are no less likely to be hits, so that weighted draws miss all hits of a given rate no more often than equal
    ones. Nothing in the data can show it where there is no hit; it was checked on a toy network only
    (benchmarks/interval_coverage.py). Under a draw that avoids hits the upper limit is too low. With equal weights
    Wilson's interval is unchanged by this.
    """
    clusters = len(error_C) if clusters is None else clusters
    share, quantile = min(rate, 1.0), 0.5 + confidence / 2
    typical = float((size_N**2).sum() / size_N.sum())
    spread, hits = share * (1 - share), float(hit_N.sum())
    seen = typical
    if share == 0 and equal_N is not None:
        seen = float((equal_N**2).sum() / equal_N.sum())
    if clusters > 1 and spread > 0:
        variance = float((error_C**2).sum()) * clusters / (clusters - 1)
        seen = max(variance / spread, float((hit_N**2).sum()) / hits)
        seen += max(typical - seen, 0.0) / (effective(hit_N) + 1) ** 2
    trials = 1.0
    if clusters > 1:
        ratio = special.stdtrit(len(hit_N) - 1, quantile) / special.stdtrit(clusters - 1, quantile)
        trials = max(ratio**2 / seen, 1.0)
    return wilson(share * trials, trials, confidence)
