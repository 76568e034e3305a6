import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tgr_cli.metrics.intervals import Interval, clustered_mean, clustered_proportion, wilson

ONES = np.ones


def counts():
    return st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998),
        # table I, method 3 (Wilson's score): 81/263, 15/148, 0/20, 1/29 at 95 %
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_gives_the_published_limits(successes, trials, expected):
    assert wilson(successes, trials, 0.95) == pytest.approx(expected, abs=5e-5)


@given(counts(), st.sampled_from([0.8, 0.95, 0.99, 0.999]))
def test_wilson_agrees_with_scipy_and_holds_the_share(counted, confidence):
    successes, trials = counted
    found = wilson(successes, trials, confidence)
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found.low <= successes / trials <= found.high <= 1


@given(counts(), st.floats(0.01, 0.99))
def test_wilson_widens_with_confidence_and_narrows_with_trials(counted, share):
    successes, trials = counted
    narrow, wide = wilson(successes, trials, 0.9), wilson(successes, trials, 0.99)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high
    few, many = wilson(share * trials, trials), wilson(share * 2 * trials, 2 * trials)
    assert few.low < many.low < many.high < few.high


def test_zero_hits_do_not_give_zero_width():
    """The defect of Wald's interval. At k = 0 Wilson's upper limit is z² / (n + z²)."""
    z2 = stats.norm.ppf(0.995) ** 2
    assert wilson(0, 4096) == Interval(0.0, pytest.approx(z2 / (4096 + z2)))


def test_clustered_mean_by_hand():
    """Clusters {0, 2}, {4}, {6, 8}: mean 4; residual totals -6, 0, 6; variance (36 + 36) / 25 · 3 / 2 = 4.32."""
    values, clusters = np.array([0.0, 2, 4, 6, 8]), np.array(["a", "a", "b", "c", "c"])
    half = stats.t.ppf(0.995, 2) * math.sqrt(4.32)
    found = clustered_mean(values, ONES(5), clusters)
    assert found[:3] == pytest.approx((4, 4 - half, 4 + half))
    assert found.effective == pytest.approx(20**2 / (4 + 16 + 36 + 64))


def test_clusters_of_one_give_the_ordinary_t_interval():
    values = np.random.default_rng(5).exponential(size=50)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = clustered_mean(values, ONES(50), np.arange(50), 0.95)
    assert found[1:3] == pytest.approx(tuple(expected), rel=1e-12)


def test_weights_and_strata_by_hand():
    """Site a: mean(1·2, 3·4) = 7, site b: mean(1·1) = 1; the mean over sites counts them alike: 4.

    Image x holds (2 - 7) / 4 + (1 - 1) / 2, image y (12 - 7) / 4: variance 2 · (1.25² + 1.25²) = 6.25.
    """
    values, weights = np.array([2.0, 4, 1]), np.array([1.0, 3, 1])
    images, sites = np.array(["x", "y", "x"]), np.array(["a", "a", "b"])
    half = stats.t.ppf(0.995, 1) * 2.5
    found = clustered_mean(values, weights, images, 0.99, sites)
    assert found[:3] == pytest.approx((4, 4 - half, 4 + half))
    # Contributions 0.5, 3, 0.5: (Σ|c|)² / Σc² = 16 / 9.5
    assert found.effective == pytest.approx(16 / 9.5)


def test_effective_counts_equal_contributions_and_sees_through_a_giant():
    zeros = np.zeros(1000)
    equal, giant = zeros.copy(), zeros.copy()
    equal[:40], giant[:40], giant[0] = 3.0, 3.0, 1e9
    images = np.arange(1000) % 100
    assert clustered_mean(equal, ONES(1000), images).effective == pytest.approx(40)
    assert clustered_mean(giant, ONES(1000), images).effective == pytest.approx(1, abs=1e-5)
    assert clustered_mean(zeros, ONES(1000), images).effective == 0


def test_one_image_gives_no_interval_for_a_mean_and_is_one_observation_of_a_rate():
    hits = np.arange(8) < 4
    mean = clustered_mean(hits.astype(float), ONES(8), np.zeros(8))
    assert mean.mean == 0.5
    assert math.isnan(mean.low)
    assert math.isnan(mean.high)
    assert clustered_proportion(hits, ONES(8), np.zeros(8))[1:3] == wilson(0.5, 1)


def test_images_that_are_alike_widen_the_interval_by_the_design_effect():
    """Ten images of ten faults, either all SDC or none: a hundred faults are worth ten, less the t quantiles' ratio."""
    images = np.repeat(np.arange(10), 10)
    hits = images < 5
    size = 9 * (stats.t.ppf(0.995, 99) / stats.t.ppf(0.995, 9)) ** 2  # p(1-p) / variance = .25 / (.25 / 9)
    found = clustered_proportion(hits, ONES(100), images)
    assert found[:3] == pytest.approx((0.5, *wilson(size / 2, size)))


@given(st.data(), st.integers(2, 60), st.integers(1, 12))
def test_clustered_proportion_holds_the_share_and_is_never_narrower_than_wilson(data, draws, images):
    hits = np.array(data.draw(st.lists(st.booleans(), min_size=draws, max_size=draws)))
    found = clustered_proportion(hits, ONES(draws), np.arange(draws) % images)
    plain = wilson(hits.sum(), draws)
    assert 0 <= found.low <= hits.mean() <= found.high <= 1
    assert found.low <= plain.low + 1e-12
    assert plain.high <= found.high + 1e-12


def test_intervals_cover_a_benign_population():
    """Of 1,000 campaigns of 512 faults on 64 random images at least 98 % of 99 % intervals hold the truth.

    Each image has its own SDC rate, Beta(2, 18) with mean 0.1, and its own largest dLoss, Beta(8, 8) with mean 0.5, up
    to which its faults' are uniform. Real dLoss has a heavier tail, of which this test says nothing.
    """
    random = np.random.default_rng(11)
    images = np.repeat(np.arange(64), 8)
    held_rate = held_mean = 0
    for _ in range(1000):
        rate_N = random.beta(2, 18, 64)[images]
        rate = clustered_proportion(random.random(512) < rate_N, ONES(512), images)
        mean = clustered_mean(random.random(512) * random.beta(8, 8, 64)[images], ONES(512), images)
        held_rate += rate.low <= 0.1 <= rate.high
        held_mean += mean.low <= 0.25 <= mean.high
    assert held_rate >= 980
    assert held_mean >= 980
