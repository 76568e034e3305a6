"""What the golden run says of a pool of images: the class of each, whether it may be struck, and how doubtful it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tgr_cli.campaign import kept_golden
from tgr_cli.campaign.subject import Subject
from tgr_cli.models import golden


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
    def _golden(self) -> Mapping[str, np.ndarray]:
        """Return `prediction` and `top2diff` of each image: as `tgr evaluate` has stored them, or classified now."""
        kept = kept_golden.of_pool(self.subject)
        return kept or golden.rows(self.subject.classify(), self.subject.images.ids)

    @cached_property
    def labels(self) -> np.ndarray:
        """Return the class that each image's losses are computed against, int64 [N]."""
        return self._golden["prediction"] if self.label == "golden" else self.subject.images.labels

    @cached_property
    def eligible(self) -> np.ndarray:
        """Return whether each image may be struck, bool [N]; raises TgrError if a golden logit is not finite."""
        return (self._golden["prediction"] == self.labels) | self.everything

    @cached_property
    def doubt(self) -> np.ndarray:
        """Return 1 - Top2Diff of each image's golden result, float [N]."""
        return 1 - self._golden["top2diff"]
