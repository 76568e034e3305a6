"""Means over faults that were estimated at anchors: neurons whose choices of a fault were predicted and corrected.

Suffixes: N anchors, S sites.
"""

from dataclasses import dataclass

import numpy as np

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.estimates import Draws, means, share
from tgr_cli.metrics.intervals import Estimate, Interval


@dataclass(frozen=True)
class SurfaceEstimates:
    """SDC rate and mean dLoss (nats) of one kind of fault; `draws` are the anchors, clustered by image.

    `sdc_N` and `dloss_N` are unbiased estimates of each anchor's means over the kind's choices; they may be negative.
    """

    draws: Draws
    sdc_N: np.ndarray
    dloss_N: np.ndarray

    def sdc_rate(self, coefficient_S: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
        """Return Σ coefficient × SDC rate over sites; the interval lies within [0, 1].

        It is the wider of two on each side: the skewness-corrected one, and the score interval, which says how large
        a rate may be of which nothing was seen.
        """
        figure = means(self.draws, self.sdc_N).combined(coefficient_S).estimate(confidence)
        held = share(means(self.draws, self.sdc_N.clip(0, 1)), coefficient_S, confidence)
        rate = min(max(figure.mean, 0.0), 1.0)
        low, high = min(figure.low, held.low, rate), max(figure.high, held.high, rate)
        return Estimate(rate, max(low, 0.0), min(high, 1.0), held.effective)

    def mean_dloss(self, coefficient_S: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
        """Return Σ coefficient × mean dLoss over sites; neither it nor its interval is negative."""
        figure = means(self.draws, self.dloss_N).combined(coefficient_S).estimate(confidence)
        limits = Interval(max(figure.low, 0.0), max(figure.high, 0.0))
        return Estimate(max(figure.mean, 0.0), *limits, figure.effective)
