"""Importance sampling of faults in tensors: unbiased, by the gradient, with all images of a fault sharing it."""

from functools import cache

import numpy as np
import pytest
import torch
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import tensors
from tgr_cli.faults.sites import Site

from ..planned import BITS

X_NCHW = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS_N = np.arange(10) % 3
MODEL = toy_net()


@cache
def network() -> Network:
    return Network.capture(MODEL, (1, 8, 8), batch_size=4)


def sites() -> tuple[Site, ...]:
    return network().sites_of("weight")


def drawn(counts: list[int], eligible_N: np.ndarray | None = None, images_per_fault: int = 3, seed: int = 0) -> Plan:
    return tensors.draw(
        sites(),
        np.ones(10, bool) if eligible_N is None else eligible_N,
        np.array(counts),
        gradients=Gradients(network()),
        corruption=Corruption(RangeLimit.of_tensors("clamp", network().parameters)),
        load=lambda image_K: X_NCHW[torch.from_numpy(image_K)],
        labels_N=LABELS_N,
        choices=BITS,
        seed=seed,
        images_per_fault=images_per_fault,
    )


def test_gradients_are_those_of_the_models_own_tensors_which_are_left_alone() -> None:
    names = [site.name for site in sites()]
    places = {name: torch.arange(network().parameters[name].numel()) for name in names}
    found = Gradients(network()).of_tensors([(X_NCHW[:4], torch.from_numpy(LABELS_N[:4]))], places)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in MODEL.parameters())
    copy = toy_net()
    torch.nn.functional.cross_entropy(copy(X_NCHW[:4]), torch.from_numpy(LABELS_N[:4]), reduction="sum").backward()
    for name, value in copy.named_parameters():
        if name in found:
            assert value.grad is not None
            torch.testing.assert_close(found[name], value.grad.abs().flatten(), rtol=1e-4, atol=1e-5)
    assert list(found) == ["conv1.weight", "conv2.weight", "fc.weight"]


def test_all_rows_of_a_fault_agree_and_no_fault_depends_on_how_many_there_are() -> None:
    plan = drawn([130, 5, 0])
    assert np.bincount(plan.site_F, minlength=3).tolist() == [390, 15, 0]
    for values_F in (plan.number_F, plan.element_F, plan.choice_F, plan.weight_F):
        rows_FK = values_F.reshape(135, 3)
        assert (rows_FK == rows_FK[:, :1]).all()
    assert all(len(set(images)) == 3 for images in plan.image_F.reshape(135, 3).tolist())
    fewer = drawn([70, 5, 0])
    assert fewer.element_F[:210].tolist() == plan.element_F[:210].tolist()
    assert drawn([70, 5, 0], seed=1).element_F.tolist() != fewer.element_F.tolist()


def test_the_estimate_of_a_mean_is_the_uniform_one() -> None:
    plan = drawn([0, 20_000, 0], images_per_fault=1)
    elements = sites()[1].neurons
    for x_F, truth in (
        (np.ones(20_000), 1.0),
        (plan.choice_F == 30, 1 / 32),
        (plan.element_F < elements / 4, 0.25),
        (plan.element_F * plan.choice_F, (elements - 1) * 31 / 4),
    ):
        weighted_F = plan.weight_F * x_F
        assert abs(weighted_F.mean() - truth) < 4 * weighted_F.std() / np.sqrt(20_000)
    assert plan.weight_F.max() <= 10 + 1e-5
    assert (plan.choice_F >= 29).mean() > 0.2  # 3/32 under uniform sampling


def test_images_that_may_not_be_struck_are_left_out() -> None:
    eligible = np.arange(10) % 2 == 0
    assert set(drawn([20, 0, 0], eligible).image_F.tolist()) <= {0, 2, 4, 6, 8}
    with pytest.raises(TgrError, match="--images-per-fault is 6, but only 5 images may be struck"):
        drawn([1, 0, 0], eligible, images_per_fault=6)


def test_statistics_of_a_batch_norm_have_gradients_too() -> None:
    """Compared with finite differences of each statistic, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            *(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()),
            *(torch.nn.Linear(144, 5), torch.nn.BatchNorm1d(5, affine=False), torch.nn.Linear(5, 3)),
        )
    model.double().eval()
    network = Network.capture(model, (1, 8, 8), batch_size=4)
    names = ["1.running_mean", "1.running_var", "5.running_mean", "5.running_var"]
    assert [site.name for site in network.sites_of("buffer")] == names
    x_BCHW, labels_B = X_NCHW[:4].double(), torch.from_numpy(LABELS_N[:4])
    places = {name: torch.arange(network.parameters[name].numel()) for name in names}
    found, buffers = Gradients(network).of_tensors([(x_BCHW, labels_B)], places), dict(model.named_buffers())

    def loss_at(name: str, place: int, step: float) -> float:
        changed = buffers[name].clone()
        changed[place] += step
        with torch.no_grad():
            logits_BC = torch.func.functional_call(model, {name: changed}, (x_BCHW,))
            return float(torch.nn.functional.cross_entropy(logits_BC, labels_B, reduction="sum"))

    for name in names:
        for place in range(len(buffers[name])):
            slope = (loss_at(name, place, 1e-5) - loss_at(name, place, -1e-5)) / 2e-5
            assert float(found[name][place]) == pytest.approx(abs(slope), rel=1e-3, abs=1e-6)
