import math
from dataclasses import replace

import numpy as np
import pytest
import scipy

from tgr_cli.metrics.estimates import Draws, LinearisedEstimate, means
from tgr_cli.metrics.settling import Settling, settling, variance_parts

NAN = math.nan
IMAGES = 40
CERTAIN = LinearisedEstimate(1.0, np.ones(IMAGES), np.zeros(IMAGES), np.arange(IMAGES))  # a candidate without error


def undecided(errors: list[list[float]], share: float) -> LinearisedEstimate:
    """Return a baseline with these errors of each image's draws, above 1 by √share × its distance to the limit."""
    error = np.array(errors)
    total = float((error.sum(axis=1) ** 2).sum())
    reach = scipy.stats.t.ppf(0.995, IMAGES - 1) * math.sqrt(total * IMAGES / (IMAGES - 1))
    value = math.exp(math.sqrt(share) * reach)
    images = np.repeat(np.arange(IMAGES), error.shape[1])
    return LinearisedEstimate(value, np.ones(error.size), value * error.ravel(), images)


def both_signs(*errors: float) -> list[list[float]]:
    """Return the errors with alternating sign between images, so that they are not skewed."""
    return [[sign * error for error in errors] for sign in (1e-3, -1e-3)] * (IMAGES // 2)


@pytest.mark.parametrize(
    ("errors", "share", "expected"),
    [
        # No shared part: a quarter of the variance needs four times the faults.
        ((1.0, 0.0), 0.25, Settling(4, "faults")),
        # Two draws with equal errors: half of the variance is shared. Twice the faults leave three quarters of it; no
        # number of faults reaches a half, twice the images do.
        ((1.0, 1.0), 0.75, Settling(2, "faults")),
        ((1.0, 1.0), 0.5, Settling(2, "images")),
        ((1.0, 1.0), 0.25, Settling(4, "images")),
        # 200 times the faults would suffice, but 1 / 0.5025 times the images is cheaper.
        ((1.0, 1.0), 0.5025, Settling(1 / 0.5025, "images")),
        # Negative covariance counts as no shared part.
        ((3.0, -1.0), 0.25, Settling(4, "faults")),
    ],
)
def test_what_would_settle_a_factor_by_hand(errors, share, expected):
    found = settling(undecided(both_signs(*errors), share), CERTAIN)
    assert found.more == expected.more
    assert found.times == pytest.approx(expected.times)
    below = undecided(both_signs(*errors), share)
    below = LinearisedEstimate(1 / below.value, below.contribution, below.error / below.value**2, below.cluster)
    assert settling(below, CERTAIN).times == pytest.approx(expected.times)


def test_faults_that_are_clusters_need_no_images():
    assert settling(undecided(both_signs(1.0, 1.0), 0.25), CERTAIN, faults_are_clusters=True) == Settling(
        pytest.approx(4), "faults"
    )


@pytest.mark.parametrize("value", [NAN, 0.0, 1.0, 100.0])
def test_a_factor_that_is_missing_equal_or_decided_is_not_to_be_settled(value):
    baseline = replace(undecided(both_signs(1.0, 0.0), 0.5), value=value)
    assert settling(baseline, CERTAIN) is None


def test_figures_that_are_equal_but_for_rounding_are_not_to_be_settled():
    """0.1 + 0.2 exceeds 0.3 by one bit, which no realistic number of images resolves."""
    baseline = undecided(both_signs(1.0, 0.0), 0.0)
    assert settling(replace(baseline, value=(0.1 + 0.2) / 0.3), CERTAIN) is None


def test_the_parts_of_the_variance_are_those_of_a_known_population():
    """Each image has a mean of variance 4, each draw noise of variance 9; 600 draws are on 100 random images.

    Alone: (4 + 9) / 600. Shared: 4 / 100 (Cochran 1977, chapter 10, draws with replacement).
    """
    random, found = np.random.default_rng(5), []
    for _ in range(400):
        image_N = random.integers(0, 100, 600)
        values_N = 10 + random.normal(0, 2, 100)[image_N] + random.normal(0, 3, 600)
        zeros = np.zeros(600, np.int64)
        figure = means(Draws(1, zeros, zeros, image_N, np.ones(600)), values_N).combined(np.ones(1))
        found.append(variance_parts(figure))
    alone, shared = np.mean(found, axis=0)
    assert alone == pytest.approx(13 / 600, rel=0.02)
    assert shared == pytest.approx(4 / 100, rel=0.05)
