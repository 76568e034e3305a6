"""Failures in time (FIT): the rates of safe and dangerous faults of the bits that a campaign struck.

1 FIT is one failure in 10⁹ device-hours. A site of B bits, each upset at a raw rate and exposed for a share e of the
time, has the failure rate λ = raw rate × B × e. The campaign estimates which share of these upsets is dangerous, and
which of those a monitor detects:

    λ = λ_S + λ_DD + λ_DU    safe, dangerous detected, dangerous undetected
    safe fraction = λ_S / λ    diagnostic coverage = λ_DD / (λ_DD + λ_DU)    SPFM = 1 - Σ λ_DU / Σ λ

Rates of several sites add up, so a network's shares are means over sites with coefficients λ.

Sources: ISO 26262-5:2018, clause 8 and annex C (single-point fault metric), -11:2018, clause 4.6 (base failure rates,
transient faults); IEC 61508-2:2010, annex C (λ_S, λ_DD, λ_DU, diagnostic coverage); Li et al., "Understanding error
propagation in deep learning neural network (DNN) accelerators and applications", SC'17 (raw rate × size × SDC
probability, summed over components).

Suffixes: N draws, S sites.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics import rerunning
from tgr_cli.metrics.estimates import NO_ESTIMATE, Draws, means, share_of_unequal
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.sdc_coverage import Counted
from tgr_cli.metrics.summary import Gate, worst

MBIT = 10**6  # bits of an Mbit
PER = {"mbit": MBIT, "bit": 1}  # bits that a raw rate may be given for


@dataclass(frozen=True)
class Classified:
    """The draws of a campaign, with those that are dangerous, and those of the dangerous ones that are detected; [N].

    Dangerous: the fault can violate the safety goal, here by another prediction, or by logits that are not finite.
    If not `monitored`, nothing could detect a fault, so that the detected rate is 0 without an interval.
    """

    draws: Draws
    dangerous_N: np.ndarray
    detected_N: np.ndarray
    monitored: bool

    def __post_init__(self) -> None:
        assert not (self.detected_N & ~self.dangerous_N).any(), "a fault is detected and not dangerous"

    def at(self, site: int) -> "Classified":
        """Return the draws at one site, which becomes site 0."""
        at_N = self.draws.site == site
        draws = replace(self.draws.where(at_N), sites=1, site=np.zeros(int(at_N.sum()), np.int64))
        return Classified(draws, self.dangerous_N[at_N], self.detected_N[at_N], self.monitored)

    def once_a_fault(self) -> "Classified":
        """Return one draw per cluster, where each is a fault that was tried on several images.

        It is dangerous if it was on any image, and detected if none of the dangerous inferences went undetected.
        """
        _, first_K, which_N = np.unique(self.draws.cluster, return_index=True, return_inverse=True)
        undetected_N = self.dangerous_N & ~self.detected_N
        dangerous_K, undetected_K = (
            np.bincount(which_N, marked_N, len(first_K)) > 0 for marked_N in (self.dangerous_N, undetected_N)
        )
        return Classified(self.draws.where(first_K), dangerous_K, dangerous_K & ~undetected_K, self.monitored)


@dataclass(frozen=True)
class FailureRates:
    """The failure rates of some bits: `rate` λ in FIT, and the shares of it, with intervals.

    `exposure` is the mean share of the time for which a bit is exposed. `coverage` is NaN where no fault was dangerous.
    """

    bits: int
    exposure: float
    rate: float
    dangerous: Estimate
    detected: Estimate
    undetected: Estimate
    coverage: Estimate

    def row(self) -> dict[str, Any]:
        """Return the columns of `fit` on these bits; figures without a value are None."""
        safe = _complement(self.dangerous)
        parts = {"safe": safe, "detected": self.detected, "undetected": self.undetected}
        figures = {f"fit_{name}": _times(self.rate, each) for name, each in parts.items()}
        figures |= {"safe_fraction": safe, "diagnostic_coverage": self.coverage, "spfm": _complement(self.undetected)}
        row: dict[str, Any] = {"bits": self.bits, "exposure": self.exposure, "fit": self.rate}
        for name, each in figures.items():
            limits = {name: each.mean, f"{name}_low": each.low, f"{name}_high": each.high}
            row |= {column: None if math.isnan(value) else value for column, value in limits.items()}
        return row | {"coverage_reliable": self.coverage.reliable}


def failure_rates(
    struck: Classified,
    bits_S: Sequence[int],
    exposure_S: np.ndarray,
    raw: float,
    confidence: float = CONFIDENCE,
) -> FailureRates:
    """Return the failure rates of all sites together; `raw` is the raw rate of one bit in FIT."""
    rate_S = raw * np.array(bits_S, np.float64) * exposure_S
    rate, coefficient_S = float(rate_S.sum()), rate_S / rate_S.sum()

    def shared(marked_N: np.ndarray) -> Estimate:
        return share_of_unequal(means(struck.draws, marked_N.astype(np.float64)), coefficient_S, confidence)

    dangerous, undetected = shared(struck.dangerous_N), shared(struck.dangerous_N & ~struck.detected_N)
    if struck.monitored:
        detected = _rest(shared(struck.detected_N), dangerous, undetected)
        counted = Counted(struck.draws, coefficient_S, struck.dangerous_N)
        # Faults below the threshold are those that the monitor detects.
        below_N = np.where(struck.detected_N, 0.0, 1.0)
        (coverage,) = rerunning.coverages(counted, below_N, np.array([0.5]), confidence)
    else:
        detected = Estimate(0.0, 0.0, 0.0, math.inf)  # known, not estimated
        coverage = detected if dangerous.mean else NO_ESTIMATE
    bits = sum(bits_S)
    # Rounding may put a mean beyond the largest value.
    exposure = min(float(np.average(exposure_S, weights=bits_S)), float(exposure_S.max()))
    return FailureRates(bits, exposure, rate, dangerous, detected, undetected, coverage)


def gate(
    totals: Mapping[str, FailureRates], *, max_fit: float | None = None, min_spfm: float | None = None
) -> Gate | None:
    """Return the verdict on all models: λ_DU at most `max_fit` FIT, SPFM at least `min_spfm`; None without a gate.

    A gate is passed or failed if the whole interval is on one side of it, and undecided otherwise.
    """
    found = []
    for name, rates in totals.items():
        if max_fit is not None:
            found.append(_judged(name, "rate λ_DU in FIT", _times(rates.rate, rates.undetected), max_fit, _at_most))
        if min_spfm is not None:
            found.append(_judged(name, "SPFM", _complement(rates.undetected), min_spfm, _at_least))
    return worst(found) if found else None


def _at_most(value: float, bound: float) -> bool:
    return value <= bound


def _at_least(value: float, bound: float) -> bool:
    return value >= bound


def _judged(name: str, what: str, figure: Estimate, bound: float, holds: Callable[[float, float], bool]) -> Gate:
    sentence = f"the {what} of {name} is {figure.mean:.6g} ({figure.low:.6g} to {figure.high:.6g})"
    inside = [holds(limit, bound) for limit in (figure.low, figure.high)]
    if all(inside):
        return Gate("passed", f"{sentence}, within the gate of {bound:g}")
    if any(inside):
        return Gate("undecided", f"{sentence}, an interval that straddles the gate of {bound:g}")
    return Gate("failed", f"{sentence}, beyond the gate of {bound:g}")


def _complement(share: Estimate) -> Estimate:
    return Estimate(1 - share.mean, 1 - share.high, 1 - share.low, share.effective)


def _times(factor: float, share: Estimate) -> Estimate:
    return Estimate(factor * share.mean, factor * share.low, factor * share.high, share.effective)


def _rest(detected: Estimate, dangerous: Estimate, undetected: Estimate) -> Estimate:
    """Return the detected share as the difference of the others, so that the rates add up.

    It differs from the plain estimate by rounding, and where weights put a share above 1, which is held to 1.
    """
    mean = max(dangerous.mean - undetected.mean, 0.0)
    return detected._replace(mean=mean, low=min(detected.low, mean), high=max(detected.high, mean))
