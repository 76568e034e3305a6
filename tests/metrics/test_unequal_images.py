"""Estimates and intervals where some images are struck more often than others, against a known truth."""

import numpy as np
import pytest

from tgr_cli.faults.plan import Drawn, Plan
from tgr_cli.faults.sampling import allocation
from tgr_cli.faults.sampling.dealing import turns
from tgr_cli.faults.sampling.image_chances import chances
from tgr_cli.faults.sites import Site
from tgr_cli.metrics.breakdown import FaultRows, by_image
from tgr_cli.metrics.estimates import Draws, means, share
from tgr_cli.metrics.outcomes import OUTCOMES
from tgr_cli.metrics.rerunning import THRESHOLDS, coverages, sdc_rate
from tgr_cli.metrics.sdc_coverage import Counted

SITES = 2


def struck(random: np.random.Generator, images: int, faults: int) -> tuple[np.ndarray, Draws]:
    """Return the doubt of sampled images, and faults at two sites whose chances follow it."""
    doubt_I = random.beta(0.3, 1.5, images)
    chance_I, first, offset = chances(doubt_I, logits=False), random.integers(images), random.random()
    image_N = np.tile(turns(np.arange(faults), np.full(faults, first), chance_I, offset), SITES)
    chance_N, site_N = chance_I[image_N], np.repeat(np.arange(SITES), faults)
    within_N = np.where(random.random(len(image_N)) < 0.5, 0.5, 1.5)
    draws = Draws(
        SITES,
        site_N,
        np.zeros(len(image_N), np.int64),
        image_N,
        within_N / chance_N,
        cluster_weight=1 / chance_N,
        excess=(chance_N - 1) / images,
    )
    return doubt_I, draws


@pytest.mark.parametrize(("images", "faults"), [(60, 600), (60, 60), (300, 100)])
def test_intervals_hold_the_mean_over_similar_images_however_many_faults_an_image_has(images, faults) -> None:
    """An image's mean is proportional to its doubt: so nearly to its chance that the draws alone show little error."""
    random, held, rate_held, narrow, campaigns = np.random.default_rng(7), 0, 0, 0, 150
    truth = 0.3 / 1.8
    for _ in range(campaigns):
        doubt_I, draws = struck(random, images, faults)
        value_N = doubt_I[draws.cluster] * random.exponential(size=len(draws.site))
        low, high = means(draws, value_N).combined(np.full(2, 0.5)).estimate(0.95)[1:3]
        held += low <= truth <= high
        plain = Draws(*list(vars(draws).values())[:5])
        low, high = means(plain, value_N).combined(np.full(2, 0.5)).estimate(0.95)[1:3]
        narrow += low <= truth <= high
        hit_N = (random.random(len(draws.site)) < doubt_I[draws.cluster]).astype(float)
        found = share(means(draws, hit_N), np.full(2, 0.5), 0.95)
        rate_held += found.low <= truth <= found.high
    assert held / campaigns > 0.89
    assert rate_held / campaigns > 0.91
    if faults > images:
        assert narrow / campaigns < 0.8  # what errors of the draws alone would give


def test_rates_of_some_images_and_coverages_are_those_of_equally_likely_images() -> None:
    random, found, covered = np.random.default_rng(3), [], []
    for _ in range(60):
        doubt_I, draws = struck(random, 200, 300)
        doubt_N = doubt_I[draws.cluster]
        sdc_N = random.random(len(doubt_N)) < 0.5 * doubt_N
        counted = Counted(draws, np.full(2, 0.5), sdc_N)
        found.append(sdc_rate(counted, doubt_N > 0.3, 0.95))
        covered.append(coverages(counted, 1 - doubt_N, THRESHOLDS, 0.95)[70])
    # By integration over the beta distribution of doubt: E(0.5 u | u > 0.3), and E(u; u > 0.3) / E(u).
    u = np.random.default_rng(0).beta(0.3, 1.5, 2_000_000)
    rate, coverage = 0.5 * u[u > 0.3].mean(), u[u > 0.3].sum() / u.sum()
    for estimates, truth in ((found, rate), (covered, coverage)):
        mean_R = np.array([each.mean for each in estimates])
        assert abs(mean_R.mean() - truth) < 4 * mean_R.std() / np.sqrt(60) + 0.01
        assert np.mean([each.low <= truth <= each.high for each in estimates]) > 0.85


def test_an_image_has_its_own_rate_whatever_its_chance() -> None:
    weight, chance = np.array([0.5, 2.0, 1.0, 1.0]), np.array([2.0, 2.0, 0.5, 0.5])
    zeros = np.zeros(4, np.int64)
    plain = dict.fromkeys(("golden_top1", "faulty_top1", "golden_top2diff", "faulty_top2diff"), np.full(4, 0.5))
    rows = FaultRows(
        sites=["fc"],
        images=["a", "b"],
        site=zeros,
        image=np.array([0, 0, 1, 1]),
        cluster=np.array([0, 0, 1, 1]),
        bit=zeros,
        stratum=zeros,
        weight=weight / chance,
        image_weight=1 / chance,
        image_excess=(chance - 1) / 2,
        outcome=np.array([OUTCOMES.index(name) for name in ("sdc", "benign", "sdc", "benign")]),
        **plain,
    )
    np.testing.assert_allclose(by_image(rows).sdc_rate, [0.25, 0.5])


def test_the_forecast_of_a_target_knows_what_no_number_of_faults_reduces() -> None:
    """With any number of faults, the half-width is that of the means of so many images."""
    random, images, forecasts = np.random.default_rng(1), 150, []
    for _ in range(40):
        _, draws = struck(random, images, 256)
        drawn = [
            Drawn(
                number_F=np.arange(256),
                image_F=draws.cluster[at],
                element_F=np.zeros(256, np.int64),
                choice_F=np.zeros(256, np.int64),
                weight_F=draws.weight[at],
                image_weight_F=draws.cluster_weight[at],
            )
            for at in (slice(256), slice(256, None))
        ]
        pilot = Plan.joined([Site(name, "conv", (4,), 1) for name in "ab"], drawn)
        doubt_F = ((1 / draws.cluster_weight - 0.2) / 0.8 * 0.3 / 1.8).clip(0)
        x_F = doubt_F * random.exponential(size=512)
        common = {"relative": False, "largest": 10**12, "same_images": True}
        forecasts.append(allocation.for_target(pilot, x_F, images=images, half_width=1e-9, **common).best)
    variance = 0.3 * 1.5 / 1.8**2 / 2.8  # of the beta distribution
    assert np.sqrt(np.mean(np.square(forecasts))) == pytest.approx(2.5758 * np.sqrt(variance / images), rel=0.15)
