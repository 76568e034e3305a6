"""Exhaustive faults of the last site equal single injections, and campaigns converge to their exact rates."""

import numpy as np
import pytest
import torch
from torch import nn
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults import units
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Full
from tgr_cli.faults.exhaustive import LastSite
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.plan import Plan

X_NCHW = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS_N = np.array([0, 1, 2, 0, 1])


class Scaled(nn.Module):
    """The toy with a scale factor after its last layer, like a text-guided head."""

    def __init__(self, function: object = lambda logits: 14.3 * logits) -> None:
        super().__init__()
        self.toy, self.function = toy_net(), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.toy(x))


class Tied(nn.Module):
    """Two of the three logits are equal, which tests ties."""

    def __init__(self) -> None:
        super().__init__()
        self.toy = toy_net()
        with torch.no_grad():
            self.toy.fc.weight[1], self.toy.fc.bias[1] = self.toy.fc.weight[0], self.toy.fc.bias[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.toy(x)


@pytest.mark.parametrize(
    "model", [toy_net(), Scaled(), Tied(), toy_net().half()], ids=["plain", "scaled", "tied", "half"]
)
@pytest.mark.parametrize("mode", ["clamp", "zero", "none"])
def test_every_fault_is_as_the_oracle_has_it(model: nn.Module, mode: str) -> None:
    network = Network.capture(model.eval(), (1, 8, 8), batch_size=4)
    site = network.sites[-1]
    corruption = Corruption(RangeLimit(mode, {} if mode == "none" else {s.name: 0.25 for s in network.sites}))
    last = LastSite(network, corruption)
    x_NCHW = X_NCHW.to(network.dtype)
    parts = [last.strike(x_NCHW[:4], LABELS_N[:4]), last.strike(x_NCHW[4:], LABELS_N[4:])]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    image_F, element_F, choice_F = (index.ravel() for index in np.indices(found["dloss"].shape))
    zeros_F, ones_F = np.zeros(len(choice_F), np.int64), np.ones(len(choice_F))
    plan = Plan((site,), np.arange(len(choice_F)), zeros_F, image_F, element_F, choice_F, ones_F)
    full = units.run(Full(model, network, corruption), plan, lambda k: x_NCHW[torch.from_numpy(k)], LABELS_N)
    for name, values in found.items():
        if name == "dloss":
            np.testing.assert_allclose(values.ravel(), full[name], rtol=1e-9, atol=1e-12)
        else:
            np.testing.assert_array_equal(values.ravel(), full[name], err_msg=name)
    assert {"sdc", "benign" if network.dtype == torch.float16 else "masked"} <= set(found["outcome"].ravel())


@pytest.mark.parametrize(
    "function", [torch.relu, lambda y: y.softmax(1), lambda y: y + 1, lambda y: y @ torch.ones(3, 3)]
)
def test_a_site_that_does_not_give_the_logits_is_refused(function: object) -> None:
    network = Network.capture(Scaled(function).eval(), (1, 8, 8), batch_size=2, targets=("conv", "linear"))
    with pytest.raises(TgrError, match=r"the output of the last site \S+ is not proportional to the logits; leave"):
        LastSite(network, Corruption(RangeLimit("none", {}))).strike(X_NCHW[:2], LABELS_N[:2])
