"""Is one classifier right more often than another on the same images?

Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
Psychometrika 12 (1947). The exact test: images that both get right, or both wrong, say nothing; of the others, each
model wins as many as a fair coin.
"""

from typing import NamedTuple

import numpy as np


class McNemar(NamedTuple):
    """Images that only the baseline and only the candidate gets right, and the two-sided p of so uneven a split."""

    only_baseline: int
    only_candidate: int
    p: float


def mcnemar(baseline_N: np.ndarray, candidate_N: np.ndarray) -> McNemar:
    """Return the exact test; which images each model gets right comes as bool of shape [N], in one order."""
    from scipy import stats  # takes a second to load, and few commands compare

    only_baseline = int((baseline_N & ~candidate_N).sum())
    only_candidate = int((candidate_N & ~baseline_N).sum())
    discordant = only_baseline + only_candidate
    p = float(stats.binomtest(only_baseline, discordant).pvalue) if discordant else 1.0
    return McNemar(only_baseline, only_candidate, p)
