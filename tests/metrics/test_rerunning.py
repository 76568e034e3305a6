"""Coverage and overhead of re-running, against plain loops and hand computations, and their intervals' coverage."""

import math

import numpy as np
import pytest

from tgr_cli.metrics.estimates import Draws
from tgr_cli.metrics.intervals import Estimate, score_interval, wilson
from tgr_cli.metrics.rerunning import THRESHOLDS, at_target, coverages, overheads, sdc_rate
from tgr_cli.metrics.sdc_coverage import Counted

SITE = np.array([0] * 6 + [1] * 4)
WEIGHT = np.array([1.0] * 6 + [2, 0.5, 0.5, 1])
SDC = np.array([1, 1, 1, 0, 0, 0, 1, 0, 0, 0], bool)
SEEN = np.array([0.1, 0.3, 0.5, 0.01, 0.01, np.nan, 0.2, 0.01, 0.01, 0.01])
IMAGE = np.array(list("abcdefabcd"), object)


def counted(coefficients, *, sdc=SDC, stratum=None) -> Counted:
    none = np.zeros(len(SITE), np.int64)
    return Counted(Draws(2, SITE, none if stratum is None else stratum, IMAGE, WEIGHT), np.array(coefficients), sdc)


@pytest.mark.parametrize(
    ("coefficients", "shares"),
    [
        # Site 0: SDCs at 0.1, 0.3, 0.5 of 6 faults; site 1: one at 0.2 with weight 2 of 4.
        ([0.5, 0.5], [0, 1 / 6, 4 / 6, 4 / 6, 5 / 6, 1]),  # contributions 1/6 each, and 2/4
        ([0.9, 0.1], [0, 0.15 / 0.5, 0.2 / 0.5, 0.2 / 0.5, 0.35 / 0.5, 1]),  # 0.9/6 each, and 0.1 × 2/4
        ([1.0, 0.0], [0, 1 / 3, 1 / 3, 1 / 3, 2 / 3, 1]),
    ],
)
def test_coverage_by_hand(coefficients, shares):
    found = coverages(counted(coefficients), SEEN, np.array([0.05, 0.15, 0.25, 0.30, 0.31, 1.0]))
    assert [each.mean for each in found] == pytest.approx(shares)  # 0.3 is not below 0.3
    for each in found:
        assert each.low <= each.mean <= each.high


def test_without_an_sdc_there_is_no_coverage():
    for chosen in (counted([0.5, 0.5], sdc=np.zeros(10, bool)), counted([0.0, 1.0], sdc=SDC & (SITE == 0))):
        assert all(math.isnan(value) for value in coverages(chosen, SEEN, np.array([0.5]))[0][:3])


@pytest.mark.parametrize("stratum", [None, np.array([0, 0, 0, 1, 1, 1, 0, 0, 1, 1])])
def test_the_interval_is_that_of_a_plain_loop_over_draws(stratum):
    """The linearised error of the ratio for each draw, minus its mean over stratum and site, summed by image."""
    threshold, coefficient_S = 0.15, np.array([0.7, 0.3])
    (found,) = coverages(counted(coefficient_S, stratum=stratum), SEEN, np.array([threshold]))
    value = [coefficient_S[s] * w * hit / {0: 6, 1: 4}[s] for s, w, hit in zip(SITE, WEIGHT, SDC, strict=True)]
    caught = [v if c < threshold else 0.0 for v, c in zip(value, SEEN, strict=True)]
    coverage = sum(caught) / sum(value)
    part = [(c - coverage * v) / sum(value) for c, v in zip(caught, value, strict=True)]
    groups = [(s, h) for s, h in zip(SITE, stratum if stratum is not None else [0] * 10, strict=True)]
    errors = dict.fromkeys(IMAGE, 0.0)
    for place, group in enumerate(groups):
        alike = [p for p, g in zip(part, groups, strict=True) if g == group]
        stretch = math.sqrt(len(alike) / (len(alike) - 1)) if stratum is not None else 1
        errors[IMAGE[place]] += stretch * (part[place] - sum(alike) / len(alike))
    size_K = np.array([v for v in value if v]) / sum(value)
    hit_K = size_K * np.array([c < threshold for c, v in zip(SEEN, value, strict=True) if v])
    low, high = score_interval(coverage, np.array(list(errors.values())), hit_K, size_K, clusters=3)
    assert found[:3] == pytest.approx((coverage, low, high))


def test_caught_and_missed_are_told_alike():
    """If almost all SDCs are caught, the interval is that of the missed ones, mirrored."""
    draws = Draws(1, np.zeros(200, np.int64), np.zeros(200, np.int64), np.arange(200), np.ones(200))
    seen = np.where(np.arange(200) < 190, 0.2, 0.8)
    every = Counted(draws, np.ones(1), np.ones(200, bool))
    (caught,) = coverages(every, seen, np.array([0.5]))
    (missed,) = coverages(every, 1 - seen, np.array([0.5]))
    assert (caught.mean, missed.mean) == pytest.approx((0.95, 0.05))
    assert (caught.low, caught.high) == pytest.approx((1 - missed.high, 1 - missed.low))
    assert (missed.low, missed.high) == pytest.approx(wilson(10, 200), rel=0.02)


def test_overheads_are_shares_of_all_images_with_wilsons_interval():
    found = overheads(np.array([0.05, 0.10, 0.90, 0.02]), np.array([0.0, 0.02, 0.10, 0.11, 1.0]), 0.9)
    assert [each.mean for each in found] == [0, 0, 0.5, 0.75, 1]
    assert found[2][1:3] == pytest.approx(wilson(2, 4, 0.9))


def test_the_cost_of_a_target_joins_both_errors():
    """Coverage reaches 0.9 at 0.3, its upper limit at 0.2, its lower at 0.4; the overheads there are 0.2 to 0.4."""
    coverage = [Estimate(m, low, high, 99) for m, low, high in [(0.5, 0.4, 0.6), (0.8, 0.7, 0.9), (0.9, 0.8, 1)]]
    coverage.append(Estimate(1.0, 0.95, 1, 99))
    overhead = [Estimate(m, m - 0.03, m + 0.04, 1000) for m in (0.1, 0.2, 0.3, 0.4)]
    threshold = np.array([0.1, 0.2, 0.3, 0.4])
    found = at_target(threshold, coverage, overhead, 0.9)
    assert found.threshold == 0.3
    limits = (0.3 - math.hypot(0.1, 0.03), 0.3 + math.hypot(0.1, 0.04))
    assert found.overhead[:3] == pytest.approx((0.3, *limits))
    assert at_target(threshold[:3], coverage[:3], overhead[:3], 0.95).threshold is None
    assert at_target(threshold, coverage, overhead, 0.97).overhead.high == 1  # the lower limit never reaches the target


def test_the_rate_of_some_images_counts_sites_and_weights():
    """On images a and b: site 0 has 2 faults, both SDCs; site 1 has 2, one SDC of weight 2."""
    found = sdc_rate(counted([0.75, 0.25]), np.isin(IMAGE, ["a", "b"]))
    assert found.mean == pytest.approx((0.75 * 2 / 6 + 0.25 * 2 / 4) / (0.75 * 2 / 6 + 0.25 * 2 / 4))
    found = sdc_rate(counted([0.75, 0.25]), np.isin(IMAGE, ["c", "d"]))
    assert found.mean == pytest.approx((0.75 * 1 / 6) / (0.75 * 2 / 6 + 0.25 * 2 / 4))
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert math.isnan(sdc_rate(counted([0.75, 0.25]), IMAGE == "z").mean)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Coverage of the intervals in 100 simulated campaigns with importance weights and images as clusters."""
    random, held, cost_held, campaigns = np.random.default_rng(5), 0, 0, 100
    coefficient_S, images, a_site = np.array([0.8, 0.2]), 300, 300
    # Top2Diff u of an image is uniform. A fault is an SDC with probability 0.4 (1 - u)² × the site's factor; the faulty
    # Top2Diff is then u².
    factor_S = np.array([0.5, 1.0])
    u = np.linspace(0, 1, 200_001)
    chance, seen = 0.4 * (1 - u) ** 2, u**2
    truth = float(chance[seen < 0.1].sum() / chance.sum())
    needed = float(np.interp(0.9, np.cumsum(chance) / chance.sum(), u))  # the 90th percentile of u among SDCs
    threshold = np.ceil(needed**2 * 100 - 1e-9) / 100  # thresholds are hundredths
    for _ in range(campaigns):
        u_I = random.random(images)
        image_N = np.concatenate([random.permutation(images), random.permutation(images)])
        site_N = np.repeat([0, 1], a_site)
        weight_N = np.where(random.random(len(site_N)) < 0.5, 0.5, 1.5)  # mean 1; small weights are drawn more often
        sdc_N = random.random(len(site_N)) < 0.4 * (1 - u_I[image_N]) ** 2 * factor_S[site_N]
        draws = Draws(2, site_N, np.zeros(len(site_N), np.int64), image_N, weight_N)
        counted_ = Counted(draws, coefficient_S, sdc_N)
        coverage = coverages(counted_, u_I[image_N] ** 2, THRESHOLDS, 0.95)
        held += coverage[10].low <= truth <= coverage[10].high
        found = at_target(THRESHOLDS, coverage, overheads(u_I**2, THRESHOLDS, 0.95))
        cost_held += found.overhead.low <= math.sqrt(threshold) <= found.overhead.high
    assert held / campaigns >= 0.93
    assert cost_held / campaigns >= 0.93
