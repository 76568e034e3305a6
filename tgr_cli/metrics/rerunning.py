"""Re-running of low-confidence inferences (ILR): SDC coverage and overhead of a confidence threshold.

An inference is repeated if its confidence is below the threshold. There are two criteria of confidence: Top2Diff, the
highest minus the second highest softmax probability, and Top1Conf, the highest. Both lie in [0, 1].

Coverage is a ratio of sums over the sites of a population, in which site s has coefficient a_s:

    coverage(t) = Σ a_s mean_s(w · sdc · [confidence < t]) / Σ a_s mean_s(w · sdc),

with the confidence of the faulty inference, which is what a check of every output observes, and the importance weight w
of a fault. Both sums are unbiased estimates; the error of the ratio is linearised and summed by cluster (Cochran 1977).

Suffixes: N draws, K draws that are SDCs, S sites, H strata of sites, C clusters, D thresholds.

Sources: Mahmoud et al. (ISSRE 2021), sections IV, VI-C and VII-B; W. G. Cochran, "Sampling techniques", 3rd edition
(1977), chapters 5A, 6 and 9A; G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a
general approach", Statistics in Medicine 27 (2008), two errors in one interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from tgr_cli.defaults import CONFIDENCE, START, STEP, STOP, TARGET_COVERAGE
from tgr_cli.metrics import top2diff
from tgr_cli.metrics.estimates import NO_ESTIMATE, Draws, codes, means
from tgr_cli.metrics.intervals import Estimate, Interval, effective, score_interval, wilson

Criterion = Literal["top2diff", "top1conf"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
NAMES = {"top2diff": "Top2Diff", "top1conf": "Top1Conf"}
THRESHOLDS = top2diff.thresholds(START, STOP, STEP)  # the sweep of ISSRE 2021
DOUBTFUL = 0.01  # Top2Diff below which ISSRE reports the SDC rate separately


@dataclass(frozen=True)
class Counted:
    """The faults on which re-running is judged: the draws, and the coefficient of each site, [S].

    `sdc_N` marks the draws that are SDCs in images whose golden prediction is correct. Draws may include sites with
    coefficient 0.
    """

    draws: Draws
    coefficient_S: np.ndarray
    sdc_N: np.ndarray


class AtTarget(NamedTuple):
    """The lowest threshold that reaches the target coverage of SDCs, and its overhead with interval.

    If no threshold reaches it, `threshold` is None and `overhead` NaN.
    """

    threshold: float | None
    overhead: Estimate


def overheads(confidence_N: np.ndarray, threshold_D: np.ndarray, confidence: float = CONFIDENCE) -> list[Estimate]:
    """Return, for each threshold, the share of all N images that are re-run, with Wilson's interval over images.

    `confidence_N` is the criterion in the golden run for all images, correct or not, as a deployed system cannot tell
    them apart (ISSRE 2021, section VI).
    """
    images, found = len(confidence_N), []
    for threshold in threshold_D:
        again = int((confidence_N < threshold).sum())
        found.append(Estimate(again / images, *wilson(again, images, confidence), float(images)))
    return found


def coverages(
    counted: Counted, confidence_N: np.ndarray, threshold_D: np.ndarray, confidence: float = CONFIDENCE
) -> list[Estimate]:
    """Return, for each threshold, the share of SDCs with `confidence_N` below it, with a score interval.

    Thresholds must be ascending. All NaN if no site with a positive coefficient has an SDC.
    """
    # index of the first threshold above the confidence
    first_N = np.searchsorted(threshold_D, confidence_N, side="right")
    return nested_coverages(counted, first_N, len(threshold_D), confidence)


def nested_coverages(
    counted: Counted, first_N: np.ndarray, points: int, confidence: float = CONFIDENCE
) -> list[Estimate]:
    """Return the share of SDCs that each of `points` protections catches, with a score interval.

    Each protection catches all that the one before it does. `first_N` is the index of the first that catches a draw's
    fault, `points` if none does. All NaN if no site with a positive coefficient has an SDC.
    """
    draws = counted.draws
    factor_N = (counted.coefficient_S / draws.per_site)[draws.site]
    value_N = np.where(counted.sdc_N, factor_N * draws.weight, 0.0)
    sdc_K = np.flatnonzero(value_N > 0)
    if not len(sdc_K):
        return [NO_ESTIMATE] * points
    value_K = value_N[sdc_K] / value_N[sdc_K].sum()
    first_K = first_N[sdc_K]
    coverage_D = np.minimum(np.cumsum(np.bincount(first_K, value_K, points + 1))[:-1], 1.0)
    cluster_N = codes(draws.cluster)
    holding = len(np.unique(cluster_N[sdc_K]))
    size = effective(np.bincount(cluster_N[sdc_K], value_K))
    error_CD = _errors(draws, cluster_N, sdc_K, value_K, first_K, coverage_D)
    found = []
    for place, coverage in enumerate(coverage_D.tolist()):
        limits = _limits(coverage, error_CD[:, place], first_K <= place, value_K, confidence, holding)
        found.append(Estimate(coverage, *limits, size))
    return found


def _errors(
    draws: Draws,
    cluster_N: np.ndarray,
    sdc_K: np.ndarray,
    value_K: np.ndarray,
    first_K: np.ndarray,
    coverage_D: np.ndarray,
) -> np.ndarray:
    """Return each cluster's contribution to the error of each coverage, [C, D].

    A draw contributes value × (caught - coverage), 0 if it is no SDC, minus the mean of that over its stratum and site,
    as in `Draws.centred`. Strata without an SDC are skipped: all their contributions are 0.
    """
    thresholds, clusters = len(coverage_D), int(cluster_N.max()) + 1
    strata = int(draws.stratum.max()) + 1
    stratum_N = draws.site * strata + draws.stratum

    def parts(group_K: np.ndarray, groups: int, value_K: np.ndarray) -> np.ndarray:
        """Return Σ value × (caught - coverage) by group, [groups, D]."""
        place_K = group_K * (thresholds + 1) + first_K
        caught = np.bincount(place_K, value_K, groups * (thresholds + 1)).reshape(groups, -1).cumsum(axis=1)
        return np.asarray(caught[:, :-1] - caught[:, -1:] * coverage_D)

    held, which_K = np.unique(stratum_N[sdc_K], return_inverse=True)
    draws_H = np.bincount(stratum_N)[held]
    stretch_H = np.sqrt(draws_H / np.maximum(draws_H - 1, 1)) if strata > 1 else np.ones(len(held))
    mean_HD = parts(which_K, len(held), value_K) * (stretch_H / draws_H)[:, None]
    error_CD = parts(cluster_N[sdc_K], clusters, value_K * stretch_H[which_K])
    for stratum, mean_D in zip(held.tolist(), mean_HD, strict=True):
        error_CD -= np.bincount(cluster_N[stratum_N == stratum], minlength=clusters)[:, None] * mean_D
    return error_CD


def _limits(
    share: float, error_C: np.ndarray, hit_K: np.ndarray, size_K: np.ndarray, confidence: float, clusters: int
) -> Interval:
    """Return the score interval of a share of SDCs, computed for the rarer of caught and missed SDCs."""
    if share <= 0.5:
        return score_interval(share, error_C, hit_K * size_K, size_K, confidence, clusters=clusters)
    missed = max(float(((~hit_K) * size_K).sum()), 0.0)
    low, high = score_interval(missed, error_C, ~hit_K * size_K, size_K, confidence, clusters=clusters)
    return Interval(min(1 - high, share), max(1 - low, share))


def at_target(
    threshold_D: np.ndarray,
    coverage_D: Sequence[Estimate],
    overhead_D: Sequence[Estimate],
    target: float = TARGET_COVERAGE,
) -> AtTarget:
    """Return the lowest threshold whose coverage reaches `target`, and its overhead.

    The overhead has two sources of error: other faults would give another threshold, and other images another share
    below it. For the first, the limits are the overheads at the thresholds where the limits of the coverage reach the
    target (1 if the lower limit never does, since re-running everything covers all). They are combined with the
    interval of the share by adding squared distances (Zou and Donner 2008).
    """
    reached = _first(coverage_D, target, "mean")
    if reached is None:
        return AtTarget(None, NO_ESTIMATE)
    middle = overhead_D[reached]
    earliest, latest = _first(coverage_D, target, "high"), _first(coverage_D, target, "low")
    assert earliest is not None
    low = math.hypot(middle.mean - overhead_D[earliest].mean, middle.mean - middle.low)
    above = 1.0 if latest is None else overhead_D[latest].mean
    high = math.hypot(above - middle.mean, middle.high - middle.mean)
    limits = Interval(max(middle.mean - low, 0.0), min(middle.mean + high, 1.0))
    size = min(middle.effective, coverage_D[reached].effective)
    return AtTarget(float(threshold_D[reached]), Estimate(middle.mean, *limits, size))


def _first(coverage_D: Sequence[Estimate], target: float, limit: Literal["mean", "low", "high"]) -> int | None:
    # Sums of shares may miss the target by rounding.
    return next((place for place, each in enumerate(coverage_D) if getattr(each, limit) >= target - 1e-12), None)


def sdc_rate(counted: Counted, among_N: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Return the SDC rate in a subset of images; `among_N` marks the draws in that subset.

    It is Σ a_s mean_s(w · sdc · among) / Σ a_s mean_s(among). The weights average to 1 within every image, so the
    denominator does not need them. NaN if no draw at a site with a positive coefficient is in the subset.
    """
    draws, counted_N = counted.draws, counted.coefficient_S[counted.draws.site] > 0
    kept_N = among_N & counted_N
    if not kept_N.any():
        return NO_ESTIMATE
    hits = means(draws, (counted.sdc_N & among_N).astype(np.float64)).combined(counted.coefficient_S)
    all_ = means(replace(draws, weight=np.ones(len(among_N))), among_N.astype(np.float64))
    faults = all_.combined(counted.coefficient_S)
    rate = hits.value / faults.value
    cluster_N = codes(hits.cluster)
    error_C = np.bincount(cluster_N, (hits.error - rate * faults.error) / faults.value)
    size_N = faults.contribution * draws.weight[counted_N] / faults.value
    on_N = kept_N[counted_N]
    contribution_N = hits.contribution / faults.value
    low, high = score_interval(
        rate,
        error_C,
        contribution_N[on_N],
        size_N[on_N],
        confidence,
        clusters=len(np.unique(cluster_N[on_N])),
    )
    return Estimate(min(rate, 1.0), low, high, effective(np.bincount(cluster_N, contribution_N)))
