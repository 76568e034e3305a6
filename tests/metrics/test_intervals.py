import math

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.estimates import Draws, means, share
from tgr_cli.metrics.intervals import Estimate, Interval, effective, skewed_interval, wilson

ONES = np.ones


def drawn(weights, clusters, sites=None, strata=None) -> Draws:
    site = np.zeros(len(weights), int) if sites is None else np.unique(sites, return_inverse=True)[1]
    stratum = np.zeros(len(weights), int) if strata is None else strata
    return Draws(int(site.max()) + 1, site, stratum, np.asarray(clusters), np.asarray(weights, float))


def clustered_mean(values, weights, clusters, confidence=CONFIDENCE, sites=None, strata=None) -> Estimate:
    draws = drawn(weights, clusters, sites, strata)
    return means(draws, values).combined(ONES(draws.sites) / draws.sites).estimate(confidence)


def clustered_proportion(hits, weights, clusters, confidence=CONFIDENCE, sites=None, strata=None) -> Estimate:
    draws = drawn(weights, clusters, sites, strata)
    return share(means(draws, hits.astype(float)), ONES(draws.sites) / draws.sites, confidence)


def hall(mean: float, errors: list[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Hall's (1992) limits by root finding: ((1 + aT / 3)³ - 1) / a + a / 6 equals the t quantile q.

    The longer side is capped at q + a (2 q² + 1) / 3.
    """
    squares = sum(e * e for e in errors)
    a, clusters = sum(e**3 for e in errors) / squares**1.5, len(errors)
    error = math.sqrt(squares * clusters / (clusters - 1))
    quantile = scipy.stats.t.ppf(0.5 + confidence / 2, clusters - 1)
    transformed = lambda t: (((1 + a * t / 3) ** 3 - 1) / a if a else t) + a / 6  # noqa: E731
    ends = [scipy.optimize.brentq(lambda t, q=q: transformed(t) - q, -1e4, 1e4) for q in (quantile, -quantile)]
    furthest = quantile + abs(a) * (2 * quantile**2 + 1) / 3
    return mean - error * min(ends[0], furthest), mean - error * max(ends[1], -furthest)


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
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
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
    """Wald's interval has zero width here; Wilson's upper limit at k = 0 is z² / (n + z²)."""
    z2 = scipy.stats.norm.ppf(0.995) ** 2
    assert wilson(0, 4096) == Interval(0.0, pytest.approx(z2 / (4096 + z2)))


def test_clustered_mean_by_hand():
    """Clusters {0, 2}, {4}, {6, 8}: mean 4; residual totals -6, 0, 6; variance (36 + 36) / 25 · 3 / 2 = 4.32.

    They are symmetric, so this is the t interval.
    """
    values, clusters = np.array([0.0, 2, 4, 6, 8]), np.array(["a", "a", "b", "c", "c"])
    half = scipy.stats.t.ppf(0.995, 2) * math.sqrt(4.32)
    found = clustered_mean(values, ONES(5), clusters)
    assert found[:3] == pytest.approx((4, 4 - half, 4 + half))
    assert found.effective == pytest.approx(20**2 / (2**2 + 4**2 + 14**2))


@pytest.mark.parametrize(
    "errors",
    [[-1.0, -1, -1, -1, 4], [3.0, -1, -1, -1], [-0.3, 0.1, 0.1, 0.1], [0.5, -0.5], [3.0, -3, 1, -1, 2, -2, 0.1]],
)
def test_the_interval_allows_for_skewness_as_hall_has_it(errors):
    assert skewed_interval(7.0, np.array(errors)) == pytest.approx(hall(7.0, errors), rel=1e-9)


def test_a_few_large_clusters_push_the_upper_limit_out_and_the_lower_one_in():
    few = np.full(1000, -0.01)
    few[:10] = 0.99
    low, high = skewed_interval(10.0, few)
    assert high - 10 > 1.3 * (10 - low)
    assert skewed_interval(10.0, np.zeros(5)) == (10, 10)


def test_clusters_of_one_without_skewness_give_the_ordinary_t_interval():
    values = np.random.default_rng(5).exponential(size=25)
    values = np.concatenate([values, -values])
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = clustered_mean(values, ONES(50), np.arange(50), 0.95)
    assert found[1:3] == pytest.approx(tuple(expected), rel=1e-9)


def test_weights_and_sites_by_hand():
    """Site a: mean(1·2, 3·4) = 7, site b: mean(1·1) = 1; the mean over sites is 4.

    Image x contributes (2 - 7) / 4 + (1 - 1) / 2, image y (12 - 7) / 4: variance 2 · (1.25² + 1.25²) = 6.25.
    """
    values, weights = np.array([2.0, 4, 1]), np.array([1.0, 3, 1])
    images, sites = np.array(["x", "y", "x"]), np.array(["a", "a", "b"])
    half = scipy.stats.t.ppf(0.995, 1) * 2.5
    found = clustered_mean(values, weights, images, 0.99, sites)
    assert found[:3] == pytest.approx((4, 4 - half, 4 + half))
    # Contributions 0.5 + 0.5 of x, 3 of y: (Σ|c|)² / Σc² = 16 / 10
    assert found.effective == pytest.approx(16 / 10)


def test_what_differs_between_strata_is_no_error():
    """Two bits of three draws each, weights (1 / 2) / (3 / 6) = 1: errors within them are ±1 / 6 or ±10 / 6.

    The deviations of three values from their own mean are too small by √(2 / 3).
    """
    values, bits = np.array([1.0, 2, 3, 100, 110, 120]), np.array([0, 0, 0, 1, 1, 1])
    found = clustered_mean(values, ONES(6), np.arange(6), strata=bits)
    errors = [error / 6 * math.sqrt(3 / 2) for error in (-1, 0, 1, -10, 0, 10)]
    assert found[:3] == pytest.approx((56, *hall(56, errors)))
    assert clustered_mean(values, ONES(6), np.arange(6)).high > found.high + 50


def test_effective_counts_equal_contributions_and_sees_through_a_giant():
    zeros = np.zeros(1000)
    equal, giant = zeros.copy(), zeros.copy()
    equal[:40], giant[:40], giant[0] = 3.0, 3.0, 1e9
    assert effective(equal) == pytest.approx(40)
    assert effective(giant) == pytest.approx(1, abs=1e-5)
    assert effective(zeros) == 0
    assert clustered_mean(equal, ONES(1000), np.arange(1000) // 2).effective == pytest.approx(20)


def test_one_image_gives_no_interval_for_a_mean_and_is_one_observation_of_a_rate():
    hits = np.arange(8) < 4
    mean = clustered_mean(hits.astype(float), ONES(8), np.zeros(8))
    assert mean.mean == 0.5
    assert math.isnan(mean.low)
    assert math.isnan(mean.high)
    assert clustered_proportion(hits, ONES(8), np.zeros(8))[1:3] == wilson(0.5, 1)


def test_images_that_are_alike_widen_the_interval_by_the_design_effect():
    """Ten images of ten faults, all SDC or none: a hundred faults are worth ten, times the t quantiles' ratio²."""
    images = np.repeat(np.arange(10), 10)
    hits = images < 5
    size = 9 * (scipy.stats.t.ppf(0.995, 99) / scipy.stats.t.ppf(0.995, 9)) ** 2  # p(1-p) / variance = .25 / (.25 / 9)
    found = clustered_proportion(hits, ONES(100), images)
    assert found[:3] == pytest.approx((0.5, *wilson(size / 2, size)))


def test_hits_that_weigh_little_make_a_rate_surer_than_uniform_draws_would():
    """A thousand hits of weight 0.25 in 4,000 draws: the variance of the rate is a quarter of Wilson's."""
    hits, weights = np.arange(4000) < 1000, np.where(np.arange(4000) < 1000, 0.25, 1.25)
    found = clustered_proportion(hits, weights, np.arange(4000))
    plain = wilson(250, 4000)
    assert found.mean == 0.0625
    assert found.high - found.low < 0.6 * (plain.high - plain.low)


@given(st.data(), st.integers(2, 60), st.integers(1, 12))
def test_clustered_proportion_holds_the_share_and_is_never_narrower_than_wilson(data, draws, images):
    hits = np.array(data.draw(st.lists(st.booleans(), min_size=draws, max_size=draws)))
    found = clustered_proportion(hits, ONES(draws), np.arange(draws) % images)
    plain = wilson(hits.sum(), draws)
    assert 0 <= found.low <= hits.mean() <= found.high <= 1
    assert found.low <= plain.low + 1e-12
    assert plain.high <= found.high + 1e-12


def test_intervals_cover_a_benign_population():
    """99 % intervals of 1,000 campaigns with 512 faults on 64 random images cover in at least 98 %.

    Each image has its own SDC rate, Beta(2, 18) with mean 0.1. Its dLoss is uniform up to a maximum, Beta(8, 8) with
    mean 0.5.
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


def test_intervals_of_means_cover_a_skewed_population():
    """dLoss is exp(normal) for one fault in forty; the 99 % t interval covers the mean in less than 97 %."""
    random, truth = np.random.default_rng(7), math.exp(0.5) / 40
    values_RN = np.where(random.random((1000, 2000)) < 1 / 40, np.exp(random.normal(size=(1000, 2000))), 0.0)
    mean_R = values_RN.mean(axis=1)
    found = [skewed_interval(mean, (row - mean) / 2000) for row, mean in zip(values_RN, mean_R, strict=True)]
    assert sum(low <= truth <= high for low, high in found) >= 980
    half_R = scipy.stats.t.ppf(0.995, 1999) * values_RN.std(axis=1, ddof=1) / math.sqrt(2000)
    assert (np.abs(mean_R - truth) <= half_R).sum() < 970


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**200, 2.0**700, 2.0**1000])
def test_a_unit_moves_no_interval_also_where_its_squares_overflow(unit: float) -> None:
    errors = np.array([0.1, -0.3, 0.05, 0.4, -0.2])
    low, high = skewed_interval(1.0, errors)
    assert skewed_interval(unit, errors * unit) == pytest.approx((low * unit, high * unit), rel=1e-12)
    assert effective(errors * unit) == effective(errors)


def test_losses_beyond_the_largest_number_are_infinite_and_no_error() -> None:
    draws = drawn([1.0] * 4, [0, 1, 2, 3])
    assert means(draws, np.array([1e300, 0, 0, 1e300])).combined(np.array([1e12])).value == math.inf


@pytest.mark.parametrize("faults", [64, 4096])
def test_without_a_hit_draws_by_importance_say_as_much_as_uniform_ones(faults) -> None:
    """64 faults without an SDC: a rate up to 0.094 at 99 %, Wilson's limit for 0 of 64."""
    weights = np.random.default_rng(0).uniform(0.2, 5.0, faults)
    found = clustered_proportion(np.zeros(faults, bool), weights, np.arange(faults))
    assert found[:3] == pytest.approx((0, *wilson(0, faults)), abs=1e-12)
    if faults == 64:
        assert found.high == pytest.approx(0.0939, abs=1e-4)
    assert clustered_proportion(np.arange(faults) < 1, weights, np.arange(faults)).high > found.high
