"""How many faults a proportion of a finite population takes (R. Leveugle, A. Calvez, P. Maistri and P. Vanhauwaert,
"Statistical fault injection: quantified error and confidence", DATE 2009, equation 3)."""

import math

from scipy import special


def sample_size(population: int, margin: float, confidence: float) -> int:
    """Return the number of faults, drawn without replacement, for a failure rate within ± `margin` at `confidence`.

    A rate p of 1/2 is assumed, for which the variance is largest: n = N / (1 + e² (N - 1) / (t² p (1 - p))).

    >>> sample_size(1_000_000, margin=0.01, confidence=0.95)
    9513
    """
    quantile = float(special.ndtri(0.5 + confidence / 2))
    return math.ceil(population / (1 + margin**2 * (population - 1) / (quantile**2 * 0.25)))
