"""What to protect, from a table small enough to follow by hand."""

import numpy as np
import pytest

from tgr_cli.errors import TgrError
from tgr_cli.metrics.estimates import Draws
from tgr_cli.metrics.sdc_coverage import Counted
from tgr_cli.protection import combined, duplication
from tgr_cli.protection.duplication import Maps
from tgr_cli.protection.split import analysis

# Three maps of 4 faults each, which are the places of the sample, with 0.5, 0.3 and 0.2 of the MACs.
MAP = np.repeat([0, 1, 2], 4)
COST = np.array([0.5, 0.3, 0.2])
SDC = np.array([1, 0, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0], bool)
DLOSS = np.array([4, 4, 4, 4, 1, 1, 1, 1, 0.5, 0.5, 0, 0.0])
SEEN = np.array([0.6, 0.9, 0.9, 0.9, 0.1, 0.2, 0.7, 0.9, 0.3, 0.4, 0.9, 0.9])
MAPS = Maps(COST, MAP)
THRESHOLDS = np.array([0.0, 0.25, 0.5, 0.65, 0.75, 1.0])
RERUN = [0.0, 0.1, 0.15, 0.4, 0.8, 1.0]


def counted() -> Counted:
    draws = Draws(3, MAP, np.zeros(12, np.int64), np.array(list("abcd" * 3), object), np.ones(12))
    return Counted(draws, COST, SDC)


def test_vulnerability_is_the_share_of_work_times_the_mean_effect():
    assert duplication.vulnerability(counted(), MAPS, SDC) == pytest.approx([0.5 / 4, 0.3 * 3 / 4, 0.2 * 2 / 4])
    assert duplication.vulnerability(counted(), MAPS, DLOSS) == pytest.approx([2.0, 0.3, 0.05])


def test_coverage_is_of_sdcs_whatever_the_order_is_by():
    """By mismatch: maps 1, 0, 2, of 0.225, 0.125 and 0.1. By dLoss: 0, 1, 2."""
    for effect, places, shares, costs in (
        (SDC, [1, 0, 2], [0, 0.225, 0.35, 0.45], [0, 0.3, 0.8, 1]),
        (DLOSS, [0, 1, 2], [0, 0.125, 0.35, 0.45], [0, 0.5, 0.8, 1]),
    ):
        order = duplication.order(duplication.vulnerability(counted(), MAPS, effect))
        assert order.tolist() == places
        found = duplication.coverages(counted(), MAPS, order, range(4))
        assert [each.mean for each in found] == pytest.approx(np.array(shares) / 0.45)
        assert all(each.low <= each.mean <= each.high for each in found)
        assert duplication.overheads(MAPS, order) == pytest.approx(costs)
        thinned = duplication.coverages(counted(), MAPS, order, [0, 2, 3])
        assert [each.mean for each in thinned] == pytest.approx([found[n].mean for n in (0, 2, 3)])
        assert duplication.fewest(counted(), MAPS, order, 0.5, np.ones(12, bool)) == (1 if effect is SDC else 2)
        assert duplication.fewest(counted(), MAPS, order, 1.0, np.ones(12, bool)) == 3


def test_a_fault_outside_of_all_maps_is_never_caught():
    maps = Maps(COST, np.where(MAP == 2, -1, MAP))
    assert duplication.coverages(counted(), maps, np.arange(3), [0, 3])[1].mean == pytest.approx(0.35 / 0.45)
    assert duplication.fewest(counted(), maps, np.arange(3), 0.9, np.ones(12, bool)) is None


@pytest.mark.parametrize("target", [0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("effect", [SDC, DLOSS])
def test_the_pair_is_never_dearer_than_either_alone(target, effect):
    found = combined.pairs(counted(), MAPS, effect, SEEN, THRESHOLDS, RERUN, target)
    best = combined.cheapest(found)
    order = duplication.order(duplication.vulnerability(counted(), MAPS, effect))
    number = duplication.fewest(counted(), MAPS, order, target, np.ones(12, bool))
    assert best.overhead <= duplication.overheads(MAPS, order)[number] + 1e-12
    value = duplication.contributions(counted(), counted().sdc_N)
    for pair in found:
        caught = value[(pair.threshold > SEEN) | np.isin(MAP, pair.maps)].sum() / value.sum()
        assert caught >= target - 1e-9
        if len(pair.maps) == 0:
            assert best.overhead <= pair.overhead


def test_the_cheapest_pair_by_hand():
    """All SDCs: re-running below 0.5 leaves those of map 0 (0.6) and of map 1 (0.7), and 0.65 leaves map 1 alone."""
    found = combined.pairs(counted(), MAPS, SDC, SEEN, THRESHOLDS, RERUN, 1.0)
    assert [sorted(pair.maps.tolist()) for pair in found] == [[0, 1, 2], [0, 1, 2], [0, 1], [1], [], []]
    best = combined.cheapest(found)
    assert (best.threshold, best.maps.tolist(), best.overhead) == (0.65, [1], pytest.approx(0.7))
    assert combined.cheapest([]) is None


def test_the_parts_are_seeded_disjoint_and_independent_of_order():
    names = [f"image {n}" for n in range(50)]
    part = analysis(names, 0.8, 3)
    assert part.sum() == 40
    assert (analysis(names, 0.8, 3) == part).all()
    assert (analysis(names[::-1], 0.8, 3)[::-1] == part).all()
    assert (analysis(names, 0.8, 4) != part).any()


@pytest.mark.parametrize("share", [0.0, 0.04, 0.99, 1.0])
def test_a_part_without_images_is_refused(share):
    with pytest.raises(TgrError, match=r"--split .* of 10 images leaves \d+ for analysis and \d+ for deployment"):
        analysis([str(n) for n in range(10)], share, 0)
