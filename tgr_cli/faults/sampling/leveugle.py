"""How many faults a proportion of a finite population takes (R. Leveugle, A. Calvez, P. Maistri and P. Vanhauwaert,
"Statistical fault injection: quantified error and confidence", DATE 2009, equation 3)."""

import math

from scipy import stats


def sample_size(population: int, margin: float, confidence: float) -> int:
    """Return how many faults, drawn without replacement, tell the share of failures to ± `margin` at the confidence.

    The share is taken for a half, where its variance is largest: n = N / (1 + e² (N - 1) / (t² p (1 - p))).

    >>> sample_size(1_000_000, margin=0.01, confidence=0.95)
    9513
    """
    quantile = float(stats.norm.ppf(0.5 + confidence / 2))
    return math.ceil(population / (1 + margin**2 * (population - 1) / (quantile**2 * 0.25)))
