"""Orders of feature maps against an oracle: curves by hand, ties, and how many faults an order needs."""

import numpy as np
import pytest

from tgr_cli.metrics.convergence import MapDraws, convergences, coverage, distance


def drawn(rate_M: np.ndarray, faults: int, *, seed: int = 0, spread: float = 0.2) -> MapDraws:
    """Return faults in maps with these SDC rates, whose dLoss is the rate but for some noise."""
    random = np.random.default_rng(seed)
    maps = len(rate_M)
    map_N, rank_N = np.tile(np.arange(maps), faults), np.repeat(np.arange(faults), maps)
    rate_N = rate_M[map_N]
    return MapDraws(
        map=map_N,
        rank=rank_N,
        weight=np.ones(len(map_N)),
        dloss=rate_N * random.uniform(1 - spread, 1 + spread, len(map_N)),
        sdc=random.random(len(map_N)) < rate_N,
        v_orig=np.full(maps, 1 / maps),
    )


def test_coverage_and_distance_are_those_by_hand() -> None:
    oracle_M = np.array([1.0, 4.0, 3.0, 2.0])
    np.testing.assert_allclose(coverage(oracle_M, oracle_M), [0.4, 0.7, 0.9, 1.0])
    np.testing.assert_allclose(coverage(-oracle_M, oracle_M), [0.1, 0.3, 0.6, 1.0])
    assert distance(oracle_M * 7, oracle_M) == 0.0
    assert distance(-oracle_M, oracle_M) == pytest.approx((0.3 + 0.4 + 0.3 + 0.0) / 4)


def test_equal_values_count_as_the_mean_over_their_orders() -> None:
    oracle_M = np.array([6.0, 3.0, 1.0, 0.0])
    np.testing.assert_allclose(coverage(np.zeros(4), oracle_M), [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(
        coverage(np.array([0.0, 5.0, 0.0, 0.0]), oracle_M), [0.3, 0.3 + 0.7 / 3, 0.3 + 1.4 / 3, 1]
    )
    # The order of the maps in the file plays no part.
    shuffled = [2, 0, 3, 1]
    assert distance(np.zeros(4), oracle_M) == pytest.approx(distance(np.zeros(4), oracle_M[shuffled]))


def test_vulnerability_is_v_orig_times_the_weighted_mean_over_finite_outcomes() -> None:
    draws = MapDraws(
        map=np.array([0, 1, 0, 1]),
        rank=np.array([0, 0, 1, 1]),
        weight=np.array([1.0, 0.5, 0.5, 2.0]),
        dloss=np.array([2.0, np.nan, 4.0, 1.0]),
        sdc=np.array([True, False, False, True]),
        v_orig=np.array([0.25, 0.75]),
    )
    np.testing.assert_allclose(draws.vulnerability("sdc"), [0.25 * 0.5, 0.75 * 1.0])
    # Map 1 loses the share mean(weight × non-finite) = 0.25 of its faults.
    np.testing.assert_allclose(draws.vulnerability("dloss"), [0.25 * 2.0, 0.75 * 1.0 / 0.75])
    np.testing.assert_allclose(draws.first(1).vulnerability("dloss"), [0.25 * 2.0, 0.0])
    assert [half.rank.tolist() for half in draws.halves()] == [[0, 0], [0, 0]]


def test_the_published_oracle_flatters_the_faults_that_it_contains() -> None:
    """By mismatch all faults are the oracle, so their distance is 0; to an oracle of other faults it is not."""
    rate_M = np.random.default_rng(1).beta(0.5, 8, 60)
    whole, half = convergences(drawn(rate_M, 512), [8, 64, 256, 512])
    assert (whole.oracle, whole.independent, whole.faults.tolist()) == (512, False, [8, 64, 256, 512])
    assert (half.oracle, half.independent, half.faults.tolist()) == (256, True, [8, 64, 256])
    assert whole.sdc[-1] == 0.0
    assert half.sdc[-1] > 0.002
    assert (np.diff(whole.sdc) < 0).all()
    assert (whole.dloss < 0.01).all()
    assert (whole.needed("dloss"), whole.needed("sdc")) == (8, 256)
    assert whole.speed_up == 32
    assert half.needed("sdc", within=1e-9) is None


def test_faults_are_needed_until_the_distance_stays_within_the_limit() -> None:
    rate_M = np.random.default_rng(2).beta(0.5, 8, 40)
    whole, _ = convergences(drawn(rate_M, 512))
    assert whole.faults[0] == 2
    assert whole.faults[-1] == 512
    for metric in ("dloss", "sdc"):
        needed, distances = whole.needed(metric), getattr(whole, metric)
        assert needed is not None
        at = int(np.searchsorted(whole.faults, needed))
        assert (distances[at:] <= 0.01).all()
        assert at == 0 or distances[at - 1] > 0.01


def test_nothing_is_said_without_an_sdc_or_with_too_few_faults() -> None:
    assert list(convergences(drawn(np.zeros(5), 64))) == []
    assert list(convergences(drawn(np.ones(5), 3))) == []
