"""What protections of a model are chosen from and judged by: its images and its faults, divided into two parts.

Suffixes: I images of the golden run, N draws.
"""

from dataclasses import dataclass

import numpy as np

from tgr_cli.metrics.curves import COLUMNS, GoldenConfidences, Injected
from tgr_cli.metrics.estimates import among
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

    `dloss_N` is NaN where a fault's outcome is not finite, `value_N` the value of the struck element without the fault,
    NaN where the image does not compute it. `fold_I` is the fold of each image of the analysis, -1 for
    the others, and `fold_N` that of each draw: what is chosen from all folds but one is judged on that one.
    """

    golden: GoldenConfidences
    injected: Injected
    dloss_N: np.ndarray
    value_N: np.ndarray
    maps: Maps | None
    rerun: Rerun
    fold_I: np.ndarray
    fold_N: np.ndarray
    analysis: Part
    deployment: Part

    @classmethod
    def of(
        cls,
        golden: GoldenConfidences,
        injected: Injected,
        fold_I: np.ndarray,
        dloss_N: np.ndarray,
        value_N: np.ndarray,
        maps: Maps | None,
        rerun: Rerun,
    ) -> "Evidence":
        """Return the evidence with its parts: the images that have a fold, and the others."""
        parts = [_part(golden, injected, images_I) for images_I in (fold_I >= 0, fold_I < 0)]
        struck = injected.struck
        fold_by_name = dict(zip(golden.image_id.tolist(), fold_I.tolist(), strict=True))
        fold_N = np.array([fold_by_name[name] for name in struck.images], np.int64)[struck.image]
        return cls(golden, injected, dloss_N, value_N, maps, rerun, fold_I, fold_N, *parts)

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
