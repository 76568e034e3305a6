"""The plan: fixed by seed, site, number and pool, and by nothing else."""

import numpy as np
import pytest

from tgr_cli.errors import TgrError
from tgr_cli.faults import plan
from tgr_cli.faults.sites import Site

CONV = Site(name="conv1", op="conv", shape=(4, 8, 8), macs=2304)
FC = Site(name="fc", op="linear", shape=(3,), macs=72)
ALL = np.ones(50, bool)


def faults_of(drawn: plan.Plan, site: str) -> list[tuple[int, ...]]:
    number = [s.name for s in drawn.sites].index(site)
    chosen = drawn.site_F == number
    columns = (drawn.number_F, drawn.image_F, drawn.element_F, drawn.bit_F)
    return list(zip(*(column[chosen].tolist() for column in columns), strict=True))


def test_a_site_draws_the_same_faults_whatever_the_others_and_however_many() -> None:
    both = plan.uniform([CONV, FC], ALL, injections=200, bits=32, seed=3)
    alone = plan.uniform([FC], ALL, injections=20, bits=32, seed=3)
    assert faults_of(alone, "fc") == faults_of(both, "fc")[:20]
    assert faults_of(plan.uniform([FC], ALL, injections=20, bits=32, seed=4), "fc") != faults_of(alone, "fc")


def test_draws_cover_images_elements_and_bits_evenly() -> None:
    drawn = plan.uniform([CONV], ALL, injections=25_600, bits=32, seed=0)
    for values, size in ((drawn.image_F, 50), (drawn.element_F, 256), (drawn.bit_F, 32)):
        counts = np.bincount(values, minlength=size)
        expected = len(drawn) / size
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert len(counts) == size
        assert abs(chi2 - (size - 1)) < 5 * np.sqrt(2 * (size - 1))  # mean and deviation of the chi-squared law


def test_an_image_that_may_not_be_struck_moves_only_the_faults_that_fell_on_it() -> None:
    eligible = ALL.copy()
    eligible[17] = False
    before = faults_of(plan.uniform([CONV], ALL, injections=2000, bits=32, seed=0), "conv1")
    after = faults_of(plan.uniform([CONV], eligible, injections=2000, bits=32, seed=0), "conv1")
    moved = [old for old, new in zip(before, after, strict=True) if old != new]
    assert moved == [fault for fault in before if fault[1] == 17]
    assert moved
    assert all(fault[1] != 17 for fault in after)


def test_one_image_in_fifty_still_fills_the_plan() -> None:
    eligible = np.zeros(50, bool)
    eligible[5] = True
    drawn = plan.uniform([CONV, FC], eligible, injections=64, bits=32, seed=0)
    assert len(drawn) == 128
    assert set(drawn.image_F.tolist()) == {5}


def test_no_eligible_image_is_refused_in_a_sentence() -> None:
    with pytest.raises(TgrError, match=r"no image may be struck: .*; check the labels .* --label golden"):
        plan.uniform([CONV], np.zeros(50, bool), injections=1, bits=32, seed=0)


def test_indices_are_the_struck_elements_in_their_sites_shapes() -> None:
    drawn = plan.uniform([CONV, FC], ALL, injections=50, bits=32, seed=0)
    for number, index in enumerate(drawn.indices()):
        shape = drawn.sites[drawn.site_F[number]].shape
        assert np.ravel_multi_index(index, shape) == drawn.element_F[number]
