"""Importance sampling is unbiased for every mean, shown by enumeration."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import importance
from tgr_cli.faults.sites import Site

from ..planned import BITS

X_NCHW = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS_N = np.array([0, 1, 2, 0, 1, 2])
ALL = np.ones(6, bool)
ALIKE = np.ones(6)
CLAMP = Corruption(RangeLimit("clamp", {"conv1": 2.0, "conv2": 2.0, "fc": 2.0}))


@cache
def gradients() -> Gradients:
    return Gradients(Network.capture(toy_net(), (1, 8, 8), batch_size=4))


def load(image_K: np.ndarray) -> Tensor:
    return X_NCHW[torch.from_numpy(image_K)]


def drawn(counts: list[int], eligible_N: np.ndarray = ALL, seed: int = 0, doubt_N: np.ndarray = ALIKE) -> Plan:
    common: dict[str, Any] = {
        "gradients": gradients(),
        "load": load,
        "labels_N": LABELS_N,
        "doubt_N": doubt_N,
        "corruption": CLAMP,
        "choices": BITS,
    }
    return importance.draw(gradients().network.sites, eligible_N, np.array(counts), seed=seed, **common)


def changed(values_1M: Tensor, limit: RangeLimit) -> Tensor:
    """Return the change of the first elements of a site by the flip of each bit."""
    elements = torch.arange(values_1M.shape[1])[None]
    bits = torch.arange(8 * values_1M.dtype.itemsize)[None]
    return importance.changes(Corruption(limit), Site("s", "linear", (12,), 1), elements, values_1M, bits)


def columns(plan: Plan, site: int) -> np.ndarray:
    at = plan.take(plan.site_F == site)
    return np.stack([at.number_F, at.image_F, at.element_F, at.choice_F, at.weight_F])


def every_flip(q_KMB: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probability of each of the first row's flips, and its weight by `pick`, both [M, B].

    The random numbers are the midpoints of the flips' intervals, so that every flip is picked once.
    """
    _, elements, bits = q_KMB.shape
    q_MB = q_KMB[0].double()
    q_M = q_MB.sum(dim=1)
    middle_M = (q_M.cumsum(0) - q_M / 2) / q_M.sum()
    middle_MB = (q_MB.cumsum(1) - q_MB / 2) / q_M[:, None]
    unit_1R2 = torch.stack([middle_M[:, None].expand(-1, bits), middle_MB], dim=-1).reshape(1, -1, 2)
    place_1R, bit_1R, weight_1R = importance.pick(q_KMB[:1], unit_1R2)
    assert place_1R[0].tolist() == np.repeat(np.arange(elements), bits).tolist()
    assert bit_1R[0].tolist() == np.tile(np.arange(bits), elements).tolist()
    return q_MB / q_MB.sum(), weight_1R.reshape(elements, bits)


@pytest.mark.parametrize(
    "limit", [RangeLimit("clamp", {"s": 1.5}), RangeLimit("zero", {"s": 1.5}), RangeLimit("none", {})]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_estimate_of_any_mean_is_unbiased(limit: RangeLimit, dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(1)
    change_1MB = changed(torch.randn(1, 12, generator=random).to(dtype), limit)
    assert change_1MB.isfinite().all()
    assert change_1MB.shape == (1, 12, 8 * dtype.itemsize)
    q_1MB = importance.relative(change_1MB, change_1MB.abs() * torch.rand(1, 12, 1, generator=random))
    probability_MB, weight_MB = every_flip(q_1MB)
    for x_MB in (torch.ones(q_1MB.shape[1:]), torch.randn(q_1MB.shape[1:], generator=random)):
        estimated = (probability_MB * weight_MB * x_MB).sum()
        torch.testing.assert_close(estimated, x_MB.mean().double(), rtol=1e-6, atol=1e-7)
    assert weight_MB.max() <= 10 + 1e-5


def test_q_is_what_the_formula_says() -> None:
    values_1M, slope_M = torch.tensor([[0.5, -1.0, 0.25]]), torch.tensor([2.0, 0.0, 1.0])
    found_1MB = changed(values_1M, RangeLimit("clamp", {"s": 1.0}))
    change = np.zeros((3, 32))
    for element, value in enumerate(values_1M[0].numpy()):
        for bit in range(32):
            word = np.float32(value).view(np.uint32) ^ np.uint32(1 << bit)
            change[element, bit] = np.nan_to_num(np.clip(word.view(np.float32), -1, 1), nan=1.0) - value
    np.testing.assert_allclose(found_1MB[0].numpy(), change, rtol=1e-5, atol=1e-9)
    q_1MB = importance.relative(found_1MB, found_1MB.abs() * slope_M[:, None])
    change, loss = np.abs(change), np.abs(change) * slope_M.numpy()[:, None]
    expected = 0.1 + 0.45 * change / change.mean() + 0.45 * loss / loss.mean()
    np.testing.assert_allclose(q_1MB[0].numpy(), expected, rtol=1e-5)


def test_a_term_that_says_nothing_leaves_its_share_to_the_uniform_one() -> None:
    change_1MB = torch.rand(1, 2, 32, generator=torch.Generator().manual_seed(0))
    q_1MB = importance.relative(change_1MB, torch.zeros(1, 2, 32))
    torch.testing.assert_close(q_1MB, 0.55 + 0.45 * change_1MB / change_1MB.mean())
    assert (importance.relative(torch.zeros(1, 2, 32), torch.zeros(1, 2, 32)) == 1).all()


def test_without_a_limit_changes_are_held_to_the_range_of_the_image() -> None:
    values_1M = torch.tensor([[1.5, -0.5, 0.0]])
    change_1MB = changed(values_1M, RangeLimit("none", {}))
    assert change_1MB[0, 0, 30].item() == 0  # NaN, clamped to + 1.5
    assert change_1MB[0, 1, 30].item() == -1.0  # -1.7e38, clamped to - 1.5
    assert change_1MB[0, 2, 30].item() == 1.5  # 2.0, clamped to + 1.5
    assert change_1MB[0, 1, 31].item() == 1.0


def test_draws_are_spread_over_images_and_estimate_the_uniform_mean() -> None:
    plan = drawn([12_000, 12_000, 1])
    assert np.bincount(plan.site_F).tolist() == [12_000, 12_000, 1]
    for site, neurons in ((0, 256), (1, 96)):
        number_F, image_F, element_F, choice_F, weight_F = columns(plan, site)
        assert number_F.tolist() == list(range(12_000))
        assert np.bincount(image_F.astype(int)).tolist() == [2000] * 6
        assert 0 < weight_F.min() < 0.2 < 8 < weight_F.max() <= 10 + 1e-5
        for x_F, truth in (
            (np.ones(12_000), 1),
            (choice_F == 30, 1 / 32),
            (choice_F == 3, 1 / 32),
            (element_F < neurons / 4, 0.25),
            (element_F * choice_F, (neurons - 1) * 31 / 4),
        ):
            error = (weight_F * x_F).std() / np.sqrt(12_000)
            assert abs((weight_F * x_F).mean() - truth) < 4 * error
        assert (choice_F >= 29).mean() > 0.3  # 3/32 under uniform sampling


def test_a_plan_is_keyed_by_seed_and_site_and_begins_with_a_shorter_one() -> None:
    longer, shorter = drawn([40, 40, 40]), drawn([3, 0, 25])
    assert np.bincount(shorter.site_F).tolist() == [3, 0, 25]
    np.testing.assert_array_equal(columns(shorter, 0), columns(longer, 0)[:, :3])
    np.testing.assert_array_equal(columns(shorter, 2), columns(longer, 2)[:, :25])
    assert columns(longer, 0)[1, :6].tolist() == columns(longer, 2)[1, :6].tolist()  # the same images at all sites
    assert not np.array_equal(columns(drawn([40, 40, 40], seed=1), 0), columns(longer, 0))


def test_images_that_may_not_be_struck_are_left_out() -> None:
    eligible = np.array([True, False, True, True, False, True])
    plan = drawn([17, 17, 17], eligible)
    counts = np.bincount(plan.image_F, minlength=6)
    assert counts[~eligible].tolist() == [0, 0]
    assert counts.sum() == 51
    assert max(counts[eligible]) - min(counts[eligible]) <= 3  # at most one more per site
    with pytest.raises(TgrError, match="no image may be struck"):
        drawn([1, 1, 1], np.zeros(6, bool))


def test_elements_of_a_large_map_are_one_of_each_part_and_all_equally_likely() -> None:
    site = Site("conv", "conv", (3, 1000), 1)
    element_KM = importance.elements(site, np.arange(500), 3, seed=0)
    assert element_KM.shape == (500, 768)
    assert (element_KM // (3000 / 768) == np.arange(768)).mean() > 0.8  # except where a part ends within an element
    counts = np.bincount(element_KM.ravel(), minlength=3000)
    expected = 500 * 768 / 3000
    assert len(counts) == 3000
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    again = importance.elements(site, np.array([7]), 3, seed=0)
    np.testing.assert_array_equal(again[0], element_KM[7])
    assert importance.elements(Site("wide", "conv", (10**6,), 1), np.arange(1), 100, seed=0).shape == (1, 4096)
    small = importance.elements(Site("fc", "linear", (10,), 1), np.arange(2), 1, seed=0)
    assert small.tolist() == [list(range(10))] * 2


def test_doubtful_images_are_struck_more_often_and_means_stay_those_of_all_faults() -> None:
    doubt_N, count = np.array([0.0, 0.01, 0.9, 0.1, 0.0, 0.5]), 12_000
    plan = drawn([count, count, count], doubt_N=doubt_N)
    chance_N = 0.2 + 0.8 * doubt_N / doubt_N.mean()
    for site, neurons in ((0, 256), (1, 96)):
        at = plan.take(plan.site_F == site)
        assert np.abs(np.bincount(at.image_F) - count * chance_N / 6).max() <= 8
        np.testing.assert_allclose(at.image_weights, 1 / chance_N[at.image_F])
        np.testing.assert_allclose(at.image_excesses, (chance_N[at.image_F] - 1) / 6)
        assert 8 < at.weight_F.max() <= 10 + 1e-5
        for x_F, truth in (
            (at.image_F == 0, 1 / 6),
            (at.image_F == 2, 1 / 6),
            ((at.image_F == 2) & (at.choice_F == 3), 1 / 192),
            ((at.image_F == 4) & (at.element_F < neurons / 4), 1 / 24),
            (at.image_F * at.element_F * at.choice_F, 2.5 * (neurons - 1) / 2 * 31 / 2),
        ):
            error = (at.weight_F * x_F).std() / np.sqrt(count)
            assert abs((at.weight_F * x_F).mean() - truth) < 4 * error
    logits = plan.take(plan.site_F == 2)  # every image counts alike
    assert np.bincount(logits.image_F).tolist() == [count // 6] * 6
    assert (logits.image_weights == 1).all()
    assert (logits.image_excesses == 0).all()


def test_unequal_draws_do_not_depend_on_the_batch_and_begin_with_a_shorter_plan() -> None:
    doubt_N = np.array([0.0, 0.01, 0.9, 0.1, 0.0, 0.5])
    longer, shorter = drawn([40, 40, 40], doubt_N=doubt_N), drawn([13, 0, 25], doubt_N=doubt_N)
    np.testing.assert_allclose(columns(shorter, 0)[[0, 1]], columns(longer, 0)[[0, 1], :13])
    np.testing.assert_allclose(columns(shorter, 2), columns(longer, 2)[:, :25])
    one_by_one = importance.draw(
        gradients().network.sites,
        ALL,
        np.array([40, 40, 40]),
        gradients=Gradients(Network.capture(toy_net(), (1, 8, 8), batch_size=1)),
        load=load,
        labels_N=LABELS_N,
        doubt_N=doubt_N,
        corruption=CLAMP,
        choices=BITS,
        seed=0,
    )
    for name in ("number_F", "image_F", "image_weight_F", "image_excess_F"):
        np.testing.assert_array_equal(getattr(one_by_one, name), getattr(longer, name))
    assert (one_by_one.element_F == longer.element_F).mean() > 0.95  # gradients are rounded by the batch
