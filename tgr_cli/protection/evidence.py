"""What protections of a model are chosen from and judged by: its images and its faults, divided into two parts.

Suffixes: I images of the golden run, N draws.
"""

from dataclasses import dataclass

import numpy as np

from tgr_cli.metrics.curves import COLUMNS, GoldenConfidences, Injected
from tgr_cli.metrics.estimates import among
from tgr_cli.metrics.population import Population
from tgr_cli.metrics.sdc_coverage import Counted, SdcCoverage
from tgr_cli.protection.maps import Maps


@dataclass(frozen=True)
class Rerun:
    """What running an inference again finds, and what it costs.

    `differs_N`: the second run's prediction is not that of the faulty first one, so the fault is detected. `alarms_I`:
    it is not that of the first run although there was no fault; None where both are of one model, which never differs.
    `cost` is a second run's share of the first's work.
    """

    differs_N: np.ndarray
    alarms_I: np.ndarray | None
    cost: float


@dataclass(frozen=True)
class Part:
    """The images of the analysis or of the deployment [I], the draws on those that are classified correctly [N].

    `counted` holds all draws, and of the SDCs those of this part.
    """

    image_I: np.ndarray
    draw_N: np.ndarray
    counted: Counted
    coverage: SdcCoverage


@dataclass(frozen=True)
class Evidence:
    """The golden run and the faults of one model over one population, in two parts; `maps` None if none are known.

    `dloss_N` is NaN where a fault's outcome is not finite.
    """

    golden: GoldenConfidences
    injected: Injected
    dloss_N: np.ndarray
    maps: Maps | None
    rerun: Rerun
    analysis: Part
    deployment: Part

    @classmethod
    def of(
        cls,
        golden: GoldenConfidences,
        injected: Injected,
        analysis_I: np.ndarray,
        dloss_N: np.ndarray,
        maps: Maps | None,
        rerun: Rerun,
    ) -> "Evidence":
        """Return the evidence with its parts: the images in `analysis_I`, and the others."""
        parts = [_part(golden, injected, images_I) for images_I in (analysis_I, ~analysis_I)]
        return cls(golden, injected, dloss_N, maps, rerun, *parts)

    def over(self, population: Population) -> "Evidence":
        """Return the same evidence for another population."""
        injected = Injected(self.injected.struck, population)
        return Evidence.of(self.golden, injected, self.analysis.image_I, self.dloss_N, self.maps, self.rerun)

    @property
    def parts(self) -> tuple[Part, Part]:
        """Return the parts: analysis, deployment."""
        return self.analysis, self.deployment

    def faulty(self, criterion: str) -> np.ndarray:
        """Return the confidence of each faulty inference, [N]; NaN where it is not finite."""
        return np.asarray(getattr(self.injected.struck, f"faulty_{COLUMNS[criterion]}"))


def _part(golden: GoldenConfidences, injected: Injected, images_I: np.ndarray) -> Part:
    struck = injected.struck
    right_J = among(np.array(struck.images, object), golden.image_id[images_I & golden.correct])
    draw_N = right_J[struck.image]
    whole = injected.counted(golden)
    counted = Counted(whole.draws, whole.coefficient_S, whole.sdc_N & draw_N)
    return Part(images_I, draw_N, counted, SdcCoverage(counted))
