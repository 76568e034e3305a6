"""Coverage of SDCs: single protections and nested ones agree, and images outside of a part do not count."""

import numpy as np
import pytest

from tgr_cli.metrics.estimates import Draws
from tgr_cli.metrics.sdc_coverage import Counted, SdcCoverage

DRAWN = np.random.default_rng(7)
N = 400
IMAGE = DRAWN.integers(0, 40, N)
SITE = np.sort(DRAWN.integers(0, 3, N))
WEIGHT = DRAWN.uniform(0.5, 2, N)
SDC = DRAWN.random(N) < 0.3
FIRST = DRAWN.integers(0, 6, N)  # 5: caught by none of five
SHARES = np.array([0.5, 0.3, 0.2])


def counted(stratum: np.ndarray | None = None, sdc: np.ndarray = SDC) -> Counted:
    none = np.zeros(N, np.int64)
    return Counted(Draws(3, SITE, none if stratum is None else stratum, IMAGE, WEIGHT), SHARES, sdc)


@pytest.mark.parametrize("stratum", [None, DRAWN.integers(0, 8, N)])
def test_one_protection_has_the_coverage_and_the_interval_of_its_place_among_nested_ones(stratum):
    coverage = SdcCoverage(counted(stratum))
    nested = coverage.nested(FIRST, 5)
    for place, expected in enumerate(nested):
        assert coverage.caught(place >= FIRST) == pytest.approx(expected)
        value = (SHARES / np.bincount(SITE))[SITE] * WEIGHT * SDC
        assert expected.mean == pytest.approx(value[place >= FIRST].sum() / value.sum())


def test_the_share_among_some_images_is_that_of_their_sdcs_alone():
    inside = IMAGE < 10
    part = SdcCoverage(counted(sdc=SDC & inside)).caught(FIRST <= 2)
    value = (SHARES / np.bincount(SITE))[SITE] * WEIGHT * (SDC & inside)
    assert part.mean == pytest.approx(value[FIRST <= 2].sum() / value.sum())
    whole = SdcCoverage(counted()).caught(FIRST <= 2)
    assert part.high - part.low > whole.high - whole.low
    assert np.isnan(SdcCoverage(counted(sdc=np.zeros(N, bool))).caught(FIRST <= 2).mean)


def test_intervals_of_a_part_hold_the_truth():
    """Faults of 2 sites on 60 images of which 20 are in the part: 90 % intervals, 300 campaigns, nominal 270."""
    drawn, held = np.random.default_rng(3), 0
    vulnerable_I, doubt_I = drawn.beta(1, 3, 2000), drawn.random(2000)
    inside_I = drawn.random(2000) < 1 / 3
    truth = float((vulnerable_I * doubt_I)[inside_I].sum() / vulnerable_I[inside_I].sum())
    for _ in range(300):
        image = drawn.choice(2000, 60, replace=False)[drawn.integers(0, 60, 600)]
        sdc = drawn.random(600) < vulnerable_I[image]
        caught = drawn.random(600) < doubt_I[image]
        site = np.repeat([0, 1], 300)
        draws = Draws(2, site, np.zeros(600, np.int64), image, np.ones(600))
        found = SdcCoverage(Counted(draws, np.array([0.5, 0.5]), sdc & inside_I[image])).caught(caught, 0.9)
        held += found.low <= truth <= found.high
    assert held >= 0.86 * 300
