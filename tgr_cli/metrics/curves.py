"""Overhead and coverage of re-running at every threshold on one confidence criterion: `sweep` and report curves.

Suffixes: N images of `golden`, D thresholds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from tgr_cli.defaults import CONFIDENCE, TARGET_COVERAGE
from tgr_cli.metrics import rerunning, top2diff
from tgr_cli.metrics.breakdown import FaultRows
from tgr_cli.metrics.estimates import NO_ESTIMATE, Draws, among
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.outcomes import OUTCOMES
from tgr_cli.metrics.population import Population
from tgr_cli.metrics.rerunning import AtTarget, Criterion
from tgr_cli.metrics.sdc_coverage import Counted

COLUMNS = {"top2diff": "top2diff", "top1conf": "top1"}  # column names in `golden` and `injections` by criterion


Seen = Literal["faulty", "golden"]
SEEN: tuple[Seen, ...] = ("faulty", "golden")
ESTIMATED = ("overhead", "coverage", "coverage_golden")  # fields of a curve with one estimate per threshold


class GoldenConfidences(NamedTuple):
    """Images of the golden run: names, whether classified correctly, and softmax confidences by criterion; [N]."""

    image_id: np.ndarray
    correct: np.ndarray
    confidence: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Injected:
    """The faults of one campaign, and the population over which re-running is estimated."""

    struck: FaultRows
    population: Population

    def counted(self, golden: GoldenConfidences) -> Counted:
        """Return the faults on which re-running is judged: only SDCs in correctly classified images count."""
        struck = self.struck
        right_I = among(np.array(struck.images, object), golden.image_id[golden.correct])
        sdc_N = (struck.outcome == OUTCOMES.index("sdc")) & right_I[struck.image]
        draws = Draws(
            len(struck.sites),
            struck.site,
            struck.stratum,
            struck.cluster,
            struck.weight,
            struck.image_weight,
            struck.image_excess,
        )
        return Counted(draws, self.population.coefficients(struck.sites), sdc_N)

    def doubtful(self, golden: GoldenConfidences, confidence: float = CONFIDENCE) -> tuple[int, Estimate]:
        """Return the number of correct images with Top2Diff below DOUBTFUL that have faults, and their SDC rate."""
        struck = self.struck
        right_I = among(np.array(struck.images, object), golden.image_id[golden.correct])
        among_N = right_I[struck.image] & (struck.golden_top2diff < rerunning.DOUBTFUL)
        images = len(np.unique(struck.image[among_N]))
        return images, rerunning.sdc_rate(self.counted(golden), among_N, confidence)


@dataclass(frozen=True)
class Curve:
    """One criterion at every threshold; `coverage` uses the faulty confidence, `coverage_golden` the golden one.

    Coverages are NaN without injections or without an SDC.
    """

    criterion: Criterion
    threshold_D: np.ndarray
    accuracy_D: np.ndarray
    overhead: list[Estimate]
    coverage: list[Estimate]
    coverage_golden: list[Estimate]

    @classmethod
    def of(
        cls,
        criterion: Criterion,
        golden: GoldenConfidences,
        injected: Injected | None,
        threshold_D: np.ndarray = rerunning.THRESHOLDS,
        confidence: float = CONFIDENCE,
    ) -> "Curve":
        """Return the curve of a model from its golden run and, if given, its faults."""
        confidence_N = golden.confidence[criterion]
        seen = []
        for side in SEEN:
            if injected is None:
                seen.append([NO_ESTIMATE] * len(threshold_D))
                continue
            values_N = getattr(injected.struck, f"{side}_{COLUMNS[criterion]}")
            seen.append(rerunning.coverages(injected.counted(golden), values_N, threshold_D, confidence))
        return cls(
            criterion,
            threshold_D,
            top2diff.accuracy_kept(golden.correct, confidence_N, threshold_D),
            rerunning.overheads(confidence_N, threshold_D, confidence),
            *seen,
        )

    def only(self, threshold_D: np.ndarray) -> "Curve":
        """Return the curve restricted to those of its thresholds that are in `threshold_D`."""
        place_K = np.flatnonzero(np.isin(self.threshold_D, threshold_D))
        estimated = ([getattr(self, name)[place] for place in place_K] for name in ESTIMATED)
        return Curve(self.criterion, self.threshold_D[place_K], self.accuracy_D[place_K], *estimated)

    def at(self, target: float = TARGET_COVERAGE, seen: Seen = "faulty") -> AtTarget:
        """Return the lowest threshold with at least this coverage of SDCs, and its overhead.

        `seen` selects the inference whose confidence decides whether an SDC is caught.
        """
        covered = self.coverage if seen == "faulty" else self.coverage_golden
        return rerunning.at_target(self.threshold_D, covered, self.overhead, target)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per threshold, with the column names of `sweep`; None for undefined values."""
        found = []
        for place, threshold in enumerate(self.threshold_D.tolist()):
            row = {"criterion": self.criterion, "threshold": threshold, "accuracy": float(self.accuracy_D[place])}
            for name in ESTIMATED:
                estimate: Estimate = getattr(self, name)[place]
                limits = zip(("", "_low", "_high"), estimate[:3], strict=True)
                row |= {name + end: none_for_nan(value) for end, value in limits}
            row["coverage_reliable"] = None if row["coverage"] is None else self.coverage[place].reliable
            found.append(row)
        return found


def none_for_nan(value: float) -> float | None:
    """Return a number for JSON or Parquet, None for NaN."""
    return None if np.isnan(value) else float(value)
