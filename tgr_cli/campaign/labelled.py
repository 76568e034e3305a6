"""What the golden run says of a pool of images: the class of each, whether it may be struck, and how doubtful it is."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tgr_cli.campaign.subject import Subject
from tgr_cli.metrics.outcomes import predictions
from tgr_cli.metrics.top2diff import top2
from tgr_cli.models.golden import GoldenRun


@dataclass(frozen=True)
class LabelledPool:
    """The N images of a subject's pool with their golden results, which are computed when they are first asked for.

    `label` is `true` for losses against the data set's labels, or `golden` against the golden predictions.
    Misclassified images are not eligible for faults, as in the papers, unless `everything`. A campaign whose faults are
    stored in a plan or listed asks only for the labels, and with `true` ones classifies nothing.
    """

    subject: Subject
    label: str
    everything: bool

    @cached_property
    def _golden(self) -> GoldenRun:
        return self.subject.classify()

    @property
    def _predicted(self) -> np.ndarray:
        return predictions(self._golden.logits_NC)

    @cached_property
    def labels(self) -> np.ndarray:
        """Return the class that each image's losses are computed against, int64 [N]."""
        return self._predicted if self.label == "golden" else self.subject.images.labels

    @cached_property
    def eligible(self) -> np.ndarray:
        """Return whether each image may be struck, bool [N]; raises TgrError if a golden logit is not finite."""
        return (self._predicted == self.labels) | self.everything

    @cached_property
    def doubt(self) -> np.ndarray:
        """Return 1 - Top2Diff of each image's golden result, float [N]."""
        highest_N, second_N = top2(self._golden.logits_NC)
        return 1 - (highest_N - second_N)
