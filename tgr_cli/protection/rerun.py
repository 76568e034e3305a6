"""Re-running of inferences with a low confidence (ILR), on the same model or on a lighter one.

An SDC is caught if the confidence of the faulty inference is below the threshold and the second run's prediction
differs. The overhead is over all images, right or wrong, as a deployed system cannot tell them apart.

Source: Mahmoud et al. (ISSRE 2021), sections IV and VI-C.
"""

from collections.abc import Iterator

import numpy as np

from tgr_cli.metrics import rerunning
from tgr_cli.metrics.intervals import Estimate, wilson
from tgr_cli.protection.evidence import Evidence, Part
from tgr_cli.protection.point import Choice, Point, first_reaching, known


def points(evidence: Evidence, choice: Choice) -> Iterator[Point]:
    """Yield a point for every criterion and threshold; the lowest threshold that reaches the target is chosen."""
    threshold_D = choice.threshold_D
    for criterion in choice.criteria:
        first_N = np.searchsorted(threshold_D, evidence.faulty(criterion), side="right")
        first_N = np.where(evidence.rerun.differs_N, first_N, len(threshold_D))
        analysis, deployment = (
            part.coverage.nested(first_N, len(threshold_D), choice.confidence) for part in evidence.parts
        )
        chosen = first_reaching(analysis, choice.target)
        overheads = [overhead(evidence, part, criterion, choice) for part in evidence.parts]
        alarms = false_alarms(evidence, criterion, choice)
        for place, threshold in enumerate(threshold_D.tolist()):
            yield Point(
                criterion=criterion,
                threshold=threshold,
                coverage_analysis=analysis[place],
                coverage_deployment=deployment[place],
                overhead_analysis=overheads[0][place],
                overhead_deployment=overheads[1][place],
                false_alarms=alarms[place],
                chosen=place == chosen,
            )


def caught(evidence: Evidence, criterion: str, threshold: float) -> np.ndarray:
    """Return which faults re-running below the threshold catches, bool [N]."""
    return np.asarray((evidence.faulty(criterion) < threshold) & evidence.rerun.differs_N)


def overhead(evidence: Evidence, part: Part, criterion: str, choice: Choice) -> list[Estimate]:
    """Return, for each threshold, the work of the second runs on a part's images over that of the first ones."""
    confidence_I = evidence.golden.confidence[criterion][part.image_I]
    shares = rerunning.overheads(confidence_I, choice.threshold_D, choice.confidence)
    cost = evidence.rerun.cost
    return [Estimate(cost * each.mean, cost * each.low, cost * each.high, each.effective) for each in shares]


def false_alarms(evidence: Evidence, criterion: str, choice: Choice) -> list[Estimate]:
    """Return, for each threshold, the share of the deployment's inferences whose second run differs without a fault."""
    if evidence.rerun.alarms_I is None:
        return [known(0.0)] * len(choice.threshold_D)
    image_I = evidence.deployment.image_I
    alarmed_I, confidence_I = evidence.rerun.alarms_I[image_I], evidence.golden.confidence[criterion][image_I]
    images, found = len(alarmed_I), []
    for threshold in choice.threshold_D:
        alarms = int((alarmed_I & (confidence_I < threshold)).sum())
        found.append(Estimate(alarms / images, *wilson(alarms, images, choice.confidence), float(images)))
    return found
