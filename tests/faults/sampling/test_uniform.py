"""Uniform sampling depends only on seed, site, number and pool."""

from typing import Any

import numpy as np
import pytest

from tgr_cli.errors import TgrError
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import uniform
from tgr_cli.faults.sites import Site

from ..planned import ALL, BITS, CONV, FC, WEIGHT, faults_of


def drawn(sites: list[Site], eligible_N: np.ndarray, count: int, *, seed: int = 0, **more: Any) -> Plan:
    return uniform.draw(sites, eligible_N, np.full(len(sites), count), choices=BITS, seed=seed, **more)


def test_the_draws_are_those_of_earlier_versions() -> None:
    # Recorded from the first release of `tgr inject` (seed 3, 50 images): plans must not change.
    assert faults_of(drawn([CONV, FC], ALL, 3, seed=3), "conv1") == [(0, 19, 168, 6), (1, 4, 172, 11), (2, 1, 185, 28)]


def test_a_site_draws_the_same_faults_whatever_the_others_and_however_many() -> None:
    both = uniform.draw([CONV, FC], ALL, np.array([200, 150]), choices=BITS, seed=3)
    alone = drawn([FC], ALL, 20, seed=3)
    assert np.bincount(both.site_F).tolist() == [200, 150]
    assert faults_of(alone, "fc") == faults_of(both, "fc")[:20]
    assert faults_of(drawn([FC], ALL, 20, seed=4), "fc") != faults_of(alone, "fc")


def test_draws_cover_images_elements_and_bits_evenly() -> None:
    plan = drawn([CONV], ALL, 25_600)
    for values, size in ((plan.image_F, 50), (plan.element_F, 256), (plan.choice_F, 32)):
        counts = np.bincount(values, minlength=size)
        expected = len(plan) / size
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert len(counts) == size
        # mean and standard deviation of the chi-squared distribution
        assert abs(chi2 - (size - 1)) < 5 * np.sqrt(2 * (size - 1))


def test_an_image_that_may_not_be_struck_moves_only_the_faults_that_fell_on_it() -> None:
    eligible = ALL.copy()
    eligible[17] = False
    before = faults_of(drawn([CONV], ALL, 2000), "conv1")
    after = faults_of(drawn([CONV], eligible, 2000), "conv1")
    moved = [old for old, new in zip(before, after, strict=True) if old != new]
    assert moved == [fault for fault in before if fault[1] == 17]
    assert moved
    assert all(fault[1] != 17 for fault in after)


def test_one_image_in_fifty_still_fills_the_plan() -> None:
    eligible = np.zeros(50, bool)
    eligible[5] = True
    plan = drawn([CONV, FC], eligible, 64)
    assert len(plan) == 128
    assert set(plan.image_F.tolist()) == {5}


def test_a_lasting_fault_is_tried_on_different_images_that_no_other_fault_moves() -> None:
    eligible = ALL.copy()
    eligible[10:20] = False
    plan = drawn([CONV, WEIGHT], eligible, 30, images_per_fault=8)
    assert plan.lasting
    assert np.bincount(plan.site_F).tolist() == [240, 240]
    rows = np.array(faults_of(plan, "conv1.weight")).reshape(30, 8, 4)
    assert (rows[:, :, 0] == np.arange(30)[:, None]).all()
    assert (rows[:, :, 2:] == rows[:, :1, 2:]).all()
    assert rows[:, :, 2].max() < 36
    assert all(len(set(images)) == 8 and eligible[images].all() for images in rows[:, :, 1])
    assert len(set(rows[:, :, 1].ravel().tolist())) == 40
    few = drawn([WEIGHT], eligible, 5, images_per_fault=8)
    assert faults_of(few, "conv1.weight") == faults_of(plan, "conv1.weight")[:40]
    every = drawn([WEIGHT], eligible, 2, images_per_fault=40)
    assert every.image_F.tolist() == np.flatnonzero(eligible).tolist() * 2


def test_too_few_eligible_images_are_refused_in_a_sentence() -> None:
    with pytest.raises(TgrError, match=r"no image may be struck: .*; check the labels .* --label golden"):
        drawn([CONV], np.zeros(50, bool), 1)
    with pytest.raises(TgrError, match=r"--images-per-fault is 51, but only 50 images may be struck; use at most 50"):
        drawn([WEIGHT], ALL, 1, images_per_fault=51)


def test_indices_are_the_struck_elements_in_their_sites_shapes() -> None:
    plan = drawn([CONV, FC], ALL, 50)
    for number, index in enumerate(plan.indices()):
        shape = plan.sites[plan.site_F[number]].shape
        assert np.ravel_multi_index(index, shape) == plan.element_F[number]
