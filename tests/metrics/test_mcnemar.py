import math

import numpy as np
import pytest

from tgr_cli.metrics.mcnemar import mcnemar


def test_images_that_one_model_alone_gets_right_are_counted_by_model():
    baseline, candidate = np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 0, 1, 0], bool)
    assert mcnemar(baseline, candidate) == (2, 1, 1.0)
    assert mcnemar(candidate, baseline) == (1, 2, 1.0)


@pytest.mark.parametrize(
    ("only_baseline", "only_candidate", "p"),
    [
        (0, 0, 1.0),
        (0, 7, 2 / 2**7),
        (1, 7, 2 * (1 + 8) / 2**8),
        (6, 16, 2 * sum(math.comb(22, wins) for wins in range(7)) / 2**22),
    ],
)
def test_the_exact_p_of_the_discordant_pairs(only_baseline, only_candidate, p):
    both = np.ones(50, bool)
    baseline = np.concatenate([both, np.ones(only_baseline, bool), np.zeros(only_candidate, bool)])
    candidate = np.concatenate([both, np.zeros(only_baseline, bool), np.ones(only_candidate, bool)])
    assert mcnemar(baseline, candidate).p == pytest.approx(p)
