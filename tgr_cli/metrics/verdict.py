"""Verdicts on a candidate, in words, and the gate on an improvement factor.

A verdict stands for one figure at the confidence of its interval. Of a hundred figures of two equal models, one may be
called better or worse at 99 %.
"""

import math
from typing import Literal

from tgr_cli.metrics.intervals import CONFIDENCE, Estimate
from tgr_cli.metrics.summary import Gate, Row

Verdict = Literal["better", "worse", "not distinguishable", "rests on too little"]
BETTER: Verdict = "better"
WORSE: Verdict = "worse"
NOT_DISTINGUISHABLE: Verdict = "not distinguishable"
TOO_LITTLE: Verdict = "rests on too little"
ROUNDING = 1e-6  # by which a limit must leave 1 out: one fault's dLoss in float32 knows no more


def on_factor(factor: Estimate) -> Verdict | None:
    """Return what an improvement factor baseline / candidate says of the candidate; None where there is no factor.

    Better where its interval lies above 1, worse where it lies below, both by more than rounding, else not
    distinguishable. An interval that is missing, or flagged unreliable, gives no such verdict whichever side it is on.
    """
    if math.isnan(factor.mean):
        return None
    if not factor.reliable:
        return TOO_LITTLE
    if factor.low > 1 + ROUNDING:
        return BETTER
    return WORSE if factor.high < 1 - ROUNDING else NOT_DISTINGUISHABLE


def on_accuracy(only_baseline: int, only_candidate: int, p: float, confidence: float = CONFIDENCE) -> Verdict:
    """Return what McNemar's test says of the candidate's accuracy, from the images that one model alone gets right."""
    if p >= 1 - confidence:
        return NOT_DISTINGUISHABLE
    return BETTER if only_candidate > only_baseline else WORSE


def gate_on_overhead(what: str, overhead: Estimate | None, maximum: float) -> Gate:
    """Return whether an overhead, named `what`, is at most `maximum` with confidence; None where it is not known.

    The gate passes where the interval's upper limit is at most the maximum, fails where the lower limit is above it,
    and is undecided between, and where the overhead rests on too few SDCs to pass.
    """
    if overhead is None or math.isnan(overhead.mean):
        return Gate("undecided", f"{what} is not known, so nothing is held against {maximum:g}")
    interval = f"{what} is {overhead.mean:.4g} ({overhead.low:.4g} to {overhead.high:.4g})"
    if overhead.low > maximum:
        return Gate("failed", f"{interval}, above the gate of {maximum:g}")
    if overhead.high > maximum:
        return Gate("undecided", f"{interval}, an interval that straddles the gate of {maximum:g}")
    if not overhead.reliable:
        return Gate("undecided", f"{interval}, within the gate of {maximum:g} but resting on too few SDCs")
    return Gate("passed", f"{interval}, within the gate of {maximum:g}")


def gate_on_improvement(row: Row, figure: str, minimum: float) -> Gate:
    """Return whether an improvement factor of a candidate, in a row of `comparison`, is `minimum` with confidence.

    The gate passes where the interval's lower limit is at least the minimum, fails where the upper limit is below it,
    and is undecided between, and where the factor has no interval or rests on too little to pass.
    """
    candidate, factor, low, high = (row[name] for name in ("candidate", figure, f"{figure}_low", f"{figure}_high"))
    if low is None:
        return Gate("undecided", f"{candidate}'s improvement ({figure}) has no interval to hold against {minimum:g}")
    interval = f"{candidate}'s improvement ({figure}) is {factor:.4g} ({low:.4g} to {high:.4g})"
    if high < minimum:
        return Gate("failed", f"{interval}, below the gate of {minimum:g}")
    if low < minimum:
        return Gate("undecided", f"{interval}, an interval that straddles the gate of {minimum:g}")
    if not row[f"{figure}_reliable"]:
        return Gate("undecided", f"{interval}, within the gate of {minimum:g} but resting on too few contributions")
    return Gate("passed", f"{interval}, within the gate of {minimum:g}")
