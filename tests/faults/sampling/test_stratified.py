"""Stratified sampling: bits as strata, allocation from a pilot, and estimates that are unbiased for any allocation."""

import numpy as np
import pytest

from tgr_cli.errors import TgrError
from tgr_cli.faults.sampling import stratified, uniform

from ..planned import ALL, BITS, CONV, FC, WEIGHT, faults_of


def test_the_pilot_has_every_bit_equally_often_and_other_faults_than_the_main_stage() -> None:
    counts_S = np.array([256, 40])
    pilot = stratified.pilot([CONV, FC], ALL, counts_S, choices=BITS, seed=0)
    assert np.bincount(pilot.choice_F[pilot.site_F == 0]).tolist() == [8] * 32
    assert np.bincount(pilot.choice_F[pilot.site_F == 1]).tolist() == [2] * 8 + [1] * 24
    assert (pilot.weight_F[pilot.site_F == 0] == 1).all()
    main = stratified.draw([CONV], ALL, counts_S[:1], np.ones((1, 32)), choices=BITS, seed=0)
    assert main.choice_F.tolist() == pilot.choice_F[:256].tolist()
    assert (main.element_F[:256] != pilot.element_F[:256]).mean() > 0.9
    plain = uniform.draw([CONV], ALL, np.array([256]), choices=BITS, seed=0)
    assert (main.element_F[:256] != plain.element_F).mean() > 0.9


def test_every_bit_gets_its_share_and_the_floor() -> None:
    shares_B = np.zeros(32)
    shares_B[30:] = 0.75, 0.25
    assert stratified.sizes(4096, shares_B, 64).tolist() == [64] * 30 + [1632, 544]
    assert stratified.sizes(1000, shares_B, 64).tolist() == [31] * 30 + [39, 31]
    shares_B[29] = 0.03  # 65 of the 2,240 faults that the other bits' floors leave
    assert stratified.sizes(4096, shares_B, 64).tolist() == [64] * 29 + [65, 1631, 544]
    assert stratified.sizes(20, np.ones(32), 64).tolist() == [1] * 20 + [0] * 12
    assert stratified.sizes(0, np.ones(32), 64).sum() == 0


def test_weights_undo_the_allotment() -> None:
    shares_SB = np.linspace(0, 1, 64).reshape(2, 32)
    plan = stratified.draw([CONV, FC], ALL, np.array([4096, 3000]), shares_SB, choices=BITS, seed=0)
    for number in (0, 1):
        at = plan.take(plan.site_F == number)
        size_B = np.bincount(at.choice_F, minlength=32)
        assert size_B.min() >= 64
        x_B = np.random.default_rng(0).random(32)
        np.testing.assert_allclose((at.weight_F * x_B[at.choice_F]).mean(), x_B.mean())
        assert np.corrcoef(size_B[size_B > 64], shares_SB[number][size_B > 64])[0, 1] > 0.999


def test_too_few_faults_for_every_bit_are_refused() -> None:
    few = "63 faults a site are too few for --sampling stratified, which needs 2 in each of 32 bits; use at least 64"
    with pytest.raises(TgrError, match=few):
        stratified.draw([CONV, FC], ALL, np.array([256, 63]), np.ones((2, 32)), choices=BITS, seed=0)


def test_shares_follow_the_standard_deviations_that_the_pilot_shows() -> None:
    pilot = stratified.pilot([CONV, FC], ALL, np.array([3200, 3200]), choices=BITS, seed=0)
    x_F = np.zeros(6400)
    sign_F = np.resize([-1.0, 1.0], 6400)
    x_F[pilot.choice_F == 30] = 3 * sign_F[pilot.choice_F == 30]  # 100 faults per bit: half of them +3, half -3
    x_F[pilot.choice_F == 29] = sign_F[pilot.choice_F == 29]
    x_F[pilot.site_F == 1] = 0
    shares_SB = stratified.neyman(pilot, x_F, bits=32)
    np.testing.assert_allclose(shares_SB.sum(axis=1), 1)
    np.testing.assert_allclose(shares_SB[1], 1 / 32)
    quiet = (9 + 1) / 32 / 101  # the site's mean square, over a bit's 100 faults + 1
    np.testing.assert_allclose(shares_SB[0, :29] / shares_SB[0, 30], np.sqrt(quiet / (9 + quiet)))
    np.testing.assert_allclose(shares_SB[0, 29] / shares_SB[0, 30], np.sqrt((1 + quiet) / (9 + quiet)))


def test_shares_rest_on_faults_and_not_on_the_images_each_was_tried_on() -> None:
    once, often = (
        stratified.pilot([WEIGHT], ALL, np.array([320]), choices=BITS, seed=0, images_per_fault=images)
        for images in (1, 4)
    )
    effect_F = np.random.default_rng(0).standard_normal(320) * (once.choice_F >= 29)
    of_image_F = effect_F.repeat(4) + np.tile([5.0, -5.0, 5.0, -5.0], 320)  # the mean over the four images is unchanged
    expected_SB = stratified.neyman(once, effect_F, bits=32)
    np.testing.assert_allclose(stratified.neyman(often, of_image_F, bits=32), expected_SB)
    of_image_F[:4] = np.nan, np.nan, 5 + effect_F[0], -5 + effect_F[0]
    np.testing.assert_allclose(stratified.neyman(often, of_image_F, bits=32), expected_SB)


def test_a_bit_without_a_number_is_judged_by_the_others() -> None:
    pilot = stratified.pilot([CONV], ALL, np.array([320]), choices=BITS, seed=0)
    x_F = np.where(pilot.choice_F == 30, np.nan, pilot.choice_F == 29) * np.resize([-1.0, 1.0], 320)
    shares_SB = stratified.neyman(pilot, x_F, bits=32)
    ranked = shares_SB[0].argsort()
    assert ranked[-2:].tolist() == [30, 29]
    assert shares_SB[0, ranked[0]] > 0


def test_a_parameter_fault_keeps_bit_and_weight_on_all_its_images() -> None:
    plan = stratified.draw([WEIGHT], ALL, np.array([64]), np.ones((1, 32)), choices=BITS, seed=0, images_per_fault=4)
    rows = np.array(faults_of(plan, "conv1.weight")).reshape(64, 4, 4)
    assert (rows[:, :, 2:] == rows[:, :1, 2:]).all()
    assert np.bincount(rows[:, 0, 3]).tolist() == [2] * 32
    assert (plan.weight_F == 1).all()
