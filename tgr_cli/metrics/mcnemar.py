"""McNemar's exact test of whether two classifiers differ in accuracy on the same images.

Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
Psychometrika 12 (1947). Images that both classify correctly, or both wrongly, carry no information. Under the null
hypothesis, each of the others is equally likely to be classified correctly by either model.
"""

from typing import NamedTuple

import numpy as np


class McNemar(NamedTuple):
    """Numbers of images that only the baseline or only the candidate gets right, and the two-sided p-value."""

    only_baseline: int
    only_candidate: int
    p: float


def mcnemar(baseline_N: np.ndarray, candidate_N: np.ndarray) -> McNemar:
    """Return the exact test; the arguments (bool [N], same image order) say which images each model gets right."""
    from scipy import stats  # imported here: it takes a second to load, and few commands need it

    only_baseline = int((baseline_N & ~candidate_N).sum())
    only_candidate = int((candidate_N & ~baseline_N).sum())
    discordant = only_baseline + only_candidate
    p = float(stats.binomtest(only_baseline, discordant).pvalue) if discordant else 1.0
    return McNemar(only_baseline, only_candidate, p)
