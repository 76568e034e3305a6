"""One way to protect a model: what it does, what it catches, and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgr_cli.metrics.intervals import Estimate

ESTIMATED = (
    "coverage_analysis",
    "coverage_deployment",
    "overhead_analysis",
    "overhead_deployment",
    "false_alarms",
)
ROUNDING = 1e-12  # sums of shares may miss a target by this


def known(value: float) -> Estimate:
    """Return a figure that is computed, not estimated from a sample."""
    return Estimate(value, value, value, np.inf)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A protection, with its coverage of SDCs and its overhead on the images of the analysis and of the deployment.

    `order` is by what maps were ordered, `maps` the places of those that are duplicated; `criterion` and `threshold`
    say which inferences run again. What a technique does not have is None. Overheads are shares of the
    multiply-accumulates of a network that is not protected; `false_alarms` is the share of inferences without a fault
    in which it reports one.
    """

    order: str | None = None
    criterion: str | None = None
    threshold: float | None = None
    maps: np.ndarray | None = None
    coverage_analysis: Estimate
    coverage_deployment: Estimate
    overhead_analysis: Estimate
    overhead_deployment: Estimate
    false_alarms: Estimate
    chosen: bool = False

    def row(self) -> dict[str, Any]:
        """Return the columns of `protection` on this point; None for what it has not, or what is undefined."""
        row: dict[str, Any] = {name: getattr(self, name) for name in ("order", "criterion", "threshold", "chosen")}
        row["maps"] = None if self.maps is None else len(self.maps)
        for name in ESTIMATED:
            estimate: Estimate = getattr(self, name)
            limits = zip(("", "_low", "_high"), estimate[:3], strict=True)
            row |= {name + end: None if np.isnan(value) else float(value) for end, value in limits}
        return row | {"reliable": self.coverage_deployment.reliable}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a user asks of every technique: the coverage to reach, and among what to choose.

    `orders` are those of feature maps, `criteria` those of re-running, `threshold_D` ascending ones for the latter.
    """

    target: float
    orders: Sequence[str]
    criteria: Sequence[str]
    threshold_D: np.ndarray
    confidence: float


def first_reaching(coverages: Sequence[Estimate], target: float) -> int | None:
    """Return the place of the first coverage that reaches the target, None if none does."""
    return next((place for place, each in enumerate(coverages) if each.mean >= target - ROUNDING), None)
