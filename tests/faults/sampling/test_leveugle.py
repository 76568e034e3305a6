"""Sample sizes for a finite population."""

import pytest

from tgr_cli.faults.sampling.leveugle import sample_size


@pytest.mark.parametrize(
    ("population", "margin", "confidence", "expected"),
    [  # from the equation with t = 1.959964, 2.575829; for a large population t² / (4 e²)
        (10**12, 0.01, 0.95, 9604),
        (10**12, 0.01, 0.99, 16588),
        (10**12, 0.05, 0.95, 385),
        (1000, 0.05, 0.95, 278),  # the textbook table of Krejcie and Morgan (1970) has 278
        (320, 0.01, 0.99, 314),
        (1, 0.01, 0.99, 1),
    ],
)
def test_sizes(population: int, margin: float, confidence: float, expected: int) -> None:
    assert sample_size(population, margin, confidence) == expected
