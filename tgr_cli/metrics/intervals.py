"""Intervals for rates and means of faults that come in clusters: the faults that struck one image are alike.

What follows treats the images as a sample, so an interval speaks of images like these, not of these alone.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927);
W. G. Cochran, "Sampling techniques", 3rd edition (1977), chapter 6 (variance of a ratio by linearisation) and chapter
9A (clusters of unequal sizes); L. Kish, "Survey sampling" (1965), design effect and effective sample size;
E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected number of positive counts
estimated from survey data", Survey Methodology 24 (1998), degrees of freedom; M. H. Hansen and W. N. Hurwitz, "On the
theory of sampling from finite populations", Annals of Mathematical Statistics 14 (1943), the weighted estimate.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.99


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Estimate(NamedTuple):
    """An estimate with its confidence interval.

    `low` and `high` are NaN where no interval can be formed. `effective` is how many equal contributions the estimate
    rests on: (Σ|c|)² / Σc² over the non-zero contributions c, which is their number where they are equal, and 1 where
    a single one outweighs all others.
    """

    mean: float
    low: float
    high: float
    effective: float


def wilson(successes: float, trials: float, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's score interval for a proportion (Wilson 1927); it holds successes / trials and lies in [0, 1].

    Neither number need be whole: an effective sample size is not, which is why this is not
    `scipy.stats.binomtest(...).proportion_ci(method="wilson")`, with which it agrees for whole ones.
    """
    assert 0 <= successes <= trials, (successes, trials)
    assert trials > 0
    z2 = stats.norm.ppf(0.5 + confidence / 2) ** 2
    share = successes / trials
    centre = (successes + z2 / 2) / (trials + z2)
    half = math.sqrt(z2 * (trials * share * (1 - share) + z2 / 4)) / (trials + z2)
    # Rounding may push a limit past the estimate or the ends of the scale by the last bit.
    return Interval(max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)))


def clustered_mean(
    values_N: np.ndarray,
    weights_N: np.ndarray,
    clusters_N: np.ndarray,
    confidence: float = CONFIDENCE,
    strata_N: np.ndarray | None = None,
) -> Estimate:
    """Return the estimate of a mean from N draws: mean(weight × value), with a t interval on the clusters' totals.

    The variance is that of the linearised ratio of totals to counts, Σ T_c² · C / (C - 1) with T_c the sum over the
    cluster's draws of (weight × value - mean) / N, and the interval has C - 1 degrees of freedom for C clusters
    (Cochran 1977). No interval can be formed from a single cluster.

    With `strata_N` the estimate is the mean over strata (sites) of each stratum's own mean; the clusters run across
    strata, as one image is struck at many sites.
    """
    mean, variance, clusters, contribution_N, _ = _linearised(values_N, weights_N, clusters_N, strata_N)
    half = stats.t.ppf(0.5 + confidence / 2, clusters - 1) * math.sqrt(variance) if clusters > 1 else math.nan
    return Estimate(mean, mean - half, mean + half, _effective(contribution_N))


def clustered_proportion(
    hits_N: np.ndarray,
    weights_N: np.ndarray,
    clusters_N: np.ndarray,
    confidence: float = CONFIDENCE,
    strata_N: np.ndarray | None = None,
) -> Estimate:
    """Return the estimate of a share from N yes-or-no draws, with Wilson's interval at the effective sample size.

    That size is p(1 - p) over the variance `clustered_mean` uses, which is N over the design effect (Kish 1965), times
    the squared ratio of the t quantiles at N - 1 and C - 1 degrees of freedom (Korn and Graubard 1998). It is at least
    1, which is also what a single cluster is worth, and at most N, so that plain Wilson is never wider. Where p is 0
    or 1 the draws show no variance, and the size before the quantiles is (Σw)² / Σw², N for equal weights.
    Weighted draws may estimate a share above 1; it is reported as 1.
    """
    mean, variance, clusters, contribution_N, share_N = _linearised(
        hits_N.astype(np.float64), weights_N, clusters_N, strata_N
    )
    draws, share = len(hits_N), min(mean, 1.0)
    spread = share * (1 - share)
    size = spread / variance if spread > 0 and variance > 0 else share_N.sum() ** 2 / (share_N**2).sum()
    quantile = 0.5 + confidence / 2
    if clusters > 1:
        size *= (stats.t.ppf(quantile, draws - 1) / stats.t.ppf(quantile, clusters - 1)) ** 2
    else:
        size = 1.0
    size = min(max(size, 1.0), float(draws))
    return Estimate(share, *wilson(share * size, size, confidence), _effective(contribution_N))


def _linearised(
    values_N: np.ndarray, weights_N: np.ndarray, clusters_N: np.ndarray, strata_N: np.ndarray | None
) -> tuple[float, float, int, np.ndarray, np.ndarray]:
    """Return mean, its variance, the number of clusters, each draw's contribution to the mean, and its share of it."""
    assert len(values_N) > 0, "an estimate needs at least one draw"
    _, cluster_N = np.unique(clusters_N, return_inverse=True)
    strata = np.zeros(len(values_N)) if strata_N is None else strata_N
    _, stratum_N, draws_S = np.unique(strata, return_inverse=True, return_counts=True)
    weighted_N = weights_N * values_N
    share_N = 1 / (len(draws_S) * draws_S[stratum_N])
    mean_S = np.bincount(stratum_N, weighted_N) / draws_S
    total_C = np.bincount(cluster_N, share_N * (weighted_N - mean_S[stratum_N]))
    clusters = len(total_C)
    variance = float((total_C**2).sum()) * clusters / (clusters - 1) if clusters > 1 else math.nan
    return float(mean_S.mean()), variance, clusters, share_N * weighted_N, share_N * weights_N


def _effective(contribution_N: np.ndarray) -> float:
    squares = float((contribution_N**2).sum())
    return float(np.abs(contribution_N).sum()) ** 2 / squares if squares else 0.0
