"""Verdicts on a candidate in words, and gates on improvement factors and overheads.

Each verdict is a test of one estimate at the confidence level of its interval, without correction for multiple tests:
at 99 %, about one in a hundred estimates of two equal models is called better or worse.
"""

import math
from typing import Literal

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.summary import Gate, Row

Verdict = Literal["better", "worse", "not distinguishable", "rests on too little"]
BETTER: Verdict = "better"
WORSE: Verdict = "worse"
NOT_DISTINGUISHABLE: Verdict = "not distinguishable"
TOO_LITTLE: Verdict = "rests on too little"
ROUNDING = 1e-6  # tolerance around 1: float32 rounding of dLoss


def on_factor(factor: Estimate) -> Verdict | None:
    """Return the verdict on the candidate from an improvement factor baseline / candidate; None without a factor.

    Better if the interval lies above 1, worse if below, both by more than rounding, else not distinguishable. A missing
    or unreliable interval gives TOO_LITTLE instead, wherever it lies.
    """
    if math.isnan(factor.mean):
        return None
    if not factor.reliable:
        return TOO_LITTLE
    if factor.low > 1 + ROUNDING:
        return BETTER
    return WORSE if factor.high < 1 - ROUNDING else NOT_DISTINGUISHABLE


def on_accuracy(only_baseline: int, only_candidate: int, p: float, confidence: float = CONFIDENCE) -> Verdict:
    """Return the verdict on the candidate's accuracy from McNemar's test; the counts are those of discordant images."""
    if p >= 1 - confidence:
        return NOT_DISTINGUISHABLE
    return BETTER if only_candidate > only_baseline else WORSE


def gate_on_change(what: str, ours: Estimate, theirs: Estimate, name: str) -> Gate:
    """Return whether the network's figure `what` is worse than that of the baseline called `name`.

    The gate fails if our interval lies above that of the baseline, and is undecided where one of them is undefined. As
    two intervals must be apart, it fails far less often by chance than either misses its truth.
    """
    if math.isnan(ours.low) or math.isnan(theirs.high):
        return Gate("undecided", f"the network's {what} has no interval, here or in {name}, so a change is undecided")
    both = (
        f"the network's {what} is {ours.mean:.4g} ({ours.low:.4g} to {ours.high:.4g}), in {name} {theirs.mean:.4g} "
        f"({theirs.low:.4g} to {theirs.high:.4g})"
    )
    if ours.low > theirs.high:
        return Gate("failed", f"{both}: worse by more than both intervals")
    return Gate("passed", f"{both}: not worse by more than both intervals")


def gate_on_overhead(what: str, overhead: Estimate | None, maximum: float) -> Gate:
    """Return whether an overhead, called `what`, is at most `maximum` with confidence.

    The gate passes if the interval's upper limit is at most the maximum, and fails if the lower limit is above it. It
    is undecided in between, if the overhead is None or NaN, and if it rests on too few SDCs to pass.
    """
    if overhead is None or math.isnan(overhead.mean):
        return Gate("undecided", f"{what} is not known, so the gate of {maximum:g} is undecided")
    interval = f"{what} is {overhead.mean:.4g} ({overhead.low:.4g} to {overhead.high:.4g})"
    if overhead.low > maximum:
        return Gate("failed", f"{interval}, above the gate of {maximum:g}")
    if overhead.high > maximum:
        return Gate("undecided", f"{interval}, an interval that straddles the gate of {maximum:g}")
    if not overhead.reliable:
        return Gate("undecided", f"{interval}, within the gate of {maximum:g} but resting on too few SDCs")
    return Gate("passed", f"{interval}, within the gate of {maximum:g}")


def gate_on_coverage(what: str, coverage: Estimate | None, minimum: float) -> Gate:
    """Return whether a coverage of SDCs, called `what`, is at least `minimum` with confidence.

    The gate passes if the interval's lower limit is at least the minimum, and fails if the upper limit is below it. It
    is undecided in between, if the coverage is None or NaN, and if it rests on too few SDCs to pass.
    """
    if coverage is None or math.isnan(coverage.mean):
        return Gate("undecided", f"{what} is not known, so the gate of {minimum:g} is undecided")
    interval = f"{what} is {coverage.mean:.4g} ({coverage.low:.4g} to {coverage.high:.4g})"
    if coverage.high < minimum:
        return Gate("failed", f"{interval}, below the gate of {minimum:g}")
    if coverage.low < minimum:
        return Gate("undecided", f"{interval}, an interval that straddles the gate of {minimum:g}")
    if not coverage.reliable:
        return Gate("undecided", f"{interval}, within the gate of {minimum:g} but resting on too few SDCs")
    return Gate("passed", f"{interval}, within the gate of {minimum:g}")


def gate_on_improvement(row: Row, figure: str, minimum: float) -> Gate:
    """Return whether a candidate's improvement factor, in a row of `comparison`, is at least `minimum` with confidence.

    The gate passes if the interval's lower limit is at least the minimum, and fails if the upper limit is below it. It
    is undecided in between, without an interval, and if the effective sample size is too small to pass.
    """
    candidate, factor, low, high = (row[name] for name in ("candidate", figure, f"{figure}_low", f"{figure}_high"))
    if low is None:
        return Gate(
            "undecided",
            f"{candidate}'s improvement ({figure}) has no interval, so the gate of {minimum:g} is undecided",
        )
    interval = f"{candidate}'s improvement ({figure}) is {factor:.4g} ({low:.4g} to {high:.4g})"
    if high < minimum:
        return Gate("failed", f"{interval}, below the gate of {minimum:g}")
    if low < minimum:
        return Gate("undecided", f"{interval}, an interval that straddles the gate of {minimum:g}")
    if not row[f"{figure}_reliable"]:
        return Gate("undecided", f"{interval}, within the gate of {minimum:g} but resting on too few contributions")
    return Gate("passed", f"{interval}, within the gate of {minimum:g}")
