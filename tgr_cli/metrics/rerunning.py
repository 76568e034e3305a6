"""Re-running of low-confidence inferences (ILR): SDC coverage and overhead of a confidence threshold.

An inference is repeated if its confidence is below the threshold. There are two criteria of confidence: Top2Diff, the
highest minus the second highest softmax probability, and Top1Conf, the highest. Both lie in [0, 1].

Coverage is a ratio of sums over the sites of a population, in which site s has coefficient a_s:

    coverage(t) = Σ a_s mean_s(w · sdc · [confidence < t]) / Σ a_s mean_s(w · sdc),

with the confidence of the faulty inference, which is what a check of every output observes, and the importance weight w
of a fault (`sdc_coverage`).

Suffixes: N draws, D thresholds.

Sources: Mahmoud et al. (ISSRE 2021), sections IV, VI-C and VII-B; G. Y. Zou and A. Donner, "Construction of confidence
limits about effect measures: a general approach", Statistics in Medicine 27 (2008), two errors in one interval.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from tgr_cli.defaults import CONFIDENCE, START, STEP, STOP, TARGET_COVERAGE
from tgr_cli.metrics import top2diff
from tgr_cli.metrics.estimates import NO_ESTIMATE, codes, means
from tgr_cli.metrics.intervals import Estimate, Interval, effective, score_interval, wilson
from tgr_cli.metrics.sdc_coverage import Counted, SdcCoverage

Criterion = Literal["top2diff", "top1conf"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
NAMES = {"top2diff": "Top2Diff", "top1conf": "Top1Conf"}
THRESHOLDS = top2diff.thresholds(START, STOP, STEP)  # the sweep of ISSRE 2021
DOUBTFUL = 0.01  # Top2Diff below which ISSRE reports the SDC rate separately


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
    return SdcCoverage(counted).nested(first_N, len(threshold_D), confidence)


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

    It is Σ a_s mean_s(w · sdc · among) / Σ a_s mean_s(u · among), with the image's part u of the weight: the rest
    averages to 1 within every image, so the denominator does not need it. NaN if no draw at a site with a positive
    coefficient is in the subset.
    """
    draws, counted_N = counted.draws, counted.coefficient_S[counted.draws.site] > 0
    kept_N = among_N & counted_N
    if not kept_N.any():
        return NO_ESTIMATE
    hits = means(draws, (counted.sdc_N & among_N).astype(np.float64)).combined(counted.coefficient_S)
    faults = means(draws.by_clusters(), among_N.astype(np.float64)).combined(counted.coefficient_S)
    rate = hits.value / faults.value
    cluster_N = codes(hits.cluster)
    error_C = np.bincount(cluster_N, (hits.error - rate * faults.error) / faults.value)
    size_N = counted.contributions(among_N)[counted_N] / faults.value
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
