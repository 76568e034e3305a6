"""Tensors of a model as sites: names, order, kinds and MACs."""

import pytest
import torch
from torch import Tensor, nn
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.graph import Network
from tgr_cli.faults.sites import Site
from tgr_cli.faults.tensor_sites import kind_of

from .awkward import awkward


class Tied(nn.Module):
    """A shared weight, a normalised weight, a non-persistent buffer, a constant, and unused tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.second.weight = self.first.weight
        self.normalised = nn.utils.parametrizations.weight_norm(nn.Linear(64, 3))
        self.unused = nn.Linear(3, 3)
        self.register_buffer("scale", torch.ones(64), persistent=False)
        self.register_buffer("count", torch.arange(64))
        self.constant = torch.ones(64)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BE = self.second(self.first(x_BCHW.flatten(1))) * self.scale * self.constant + self.count
        return self.normalised(x_BE + torch.zeros_like(self.unused.weight).sum())


def tensor(name: str, op: str, shape: tuple[int, ...], macs: int) -> Site:
    return Site(name, op, shape, macs, per_image=False)


TIED_SITES = (  # in order of first use; the shared weight has the MACs of both calls
    tensor("first.weight", "weight", (64, 64), 2 * 64 * 64),
    tensor("first.bias", "bias", (64,), 64 * 64),
    tensor("second.bias", "bias", (64,), 64 * 64),
    tensor("scale", "buffer", (64,), 0),
    tensor("normalised.parametrizations.weight.original1", "weight", (3, 64), 3 * 64),
    tensor("normalised.parametrizations.weight.original0", "weight", (3, 1), 3 * 64),
    tensor("normalised.bias", "bias", (3,), 3 * 64),
)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_the_tensors_that_the_logits_depend_on_are_found_once_each(batch_size: int) -> None:
    network = Network.capture(Tied().eval(), (1, 8, 8), batch_size=batch_size)
    assert network.parameter_sites == TIED_SITES
    for kind in ("weight", "bias", "buffer"):
        assert network.sites_of(kind) == tuple(site for site in TIED_SITES if site.op == kind)
    assert network.sites_of("neuron") == network.sites


def test_the_tensors_are_the_models_own() -> None:
    model = Tied().eval()
    network = Network.capture(model, (1, 8, 8), batch_size=2)
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert {name: value.data_ptr() for name, value in network.parameters.items()} == {
        site.name: own[site.name].data_ptr() for site in TIED_SITES
    }


@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_kind_of_call_counts_as_work_of_what_it_reads(batch_size: int) -> None:
    network = Network.capture(awkward(), (1, 8, 8), batch_size=batch_size)
    macs = {site.name: site.macs for site in network.parameter_sites}
    assert macs == {
        "patches.weight": 4 * 4 * 16,
        "patches.bias": 4 * 4 * 16,
        "bias.coordinates": 0,
        "bias.table.weight": 4 * 4 * 2,
        "twice.weight": 2 * 4 * 4 * 4,
        "twice.bias": 2 * 4 * 4 * 4,
        "functional.mix_weight": 4 * 4 * 4,
        "attention.in_proj_weight": 4 * 12 * 4,
        "attention.in_proj_bias": 4 * 12 * 4,
        "attention.out_proj.weight": 4 * 4 * 4,
        "attention.out_proj.bias": 4 * 4 * 4,
        "up.weight": 4 * 2 * 2 * 2 * 4,
        "up.bias": 4 * 2 * 2 * 2 * 4,
        "head_matrix": 4 * 3,
    }
    assert [site.name for site in network.sites_of("buffer")] == ["bias.coordinates"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fc.bias", "bias"),
        ("attention.in_proj_bias", "bias"),
        ("attention.bias_k", "bias"),
        ("bias.table.weight", "weight"),
        ("attn.relative_position_bias_table", "weight"),
        ("cls_token", "weight"),
    ],
)
def test_a_bias_is_known_by_the_last_part_of_its_name(name: str, kind: str) -> None:
    assert kind_of(name, buffer=False) == kind
    assert kind_of(name, buffer=True) == "buffer"


def test_a_kind_that_the_model_has_not_and_a_mixture_of_formats_are_refused() -> None:
    network = Network.capture(toy_net(), (1, 8, 8), batch_size=2)
    with pytest.raises(TgrError, match=r"the logits depend on no floating-point buffer of the model; use another --t"):
        network.sites_of("buffer")
    mixed = toy_net()
    mixed.fc.register_buffer("shift", torch.zeros(3, dtype=torch.float64))
    mixed.fc.register_forward_hook(lambda _, __, output: (output + mixed.fc.shift).float())
    network = Network.capture(mixed, (1, 8, 8), batch_size=2)
    assert len(network.sites_of("weight")) == 3
    with pytest.raises(TgrError, match=r'the buffer "fc.shift" is torch.float64 and the model torch.float32; convert '):
        network.sites_of("buffer")
