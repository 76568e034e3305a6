"""Three computations and a vote: without a fault the same bits, with one it is outvoted wherever it strikes."""

import copy

import pytest
import torch
from torch import Tensor, nn
from toys_guards import OPERATIONS, SHAPE, images, net

from tgr_cli.errors import TgrError
from tgr_cli.faults.deploying import deployment_of
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.graph import Network
from tgr_cli.guards.guard import protect
from tgr_cli.guards.voting import Voting, extra_macs, voted


def guarded(plain: nn.Module, names: tuple[str, ...] = OPERATIONS) -> nn.Module:
    example = torch.zeros(1, *SHAPE, dtype=next(plain.parameters()).dtype)
    return protect(copy.deepcopy(plain), [Voting(names)], example)


@pytest.mark.parametrize("form", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_without_a_fault_the_logits_keep_their_bits(form: torch.dtype) -> None:
    plain, x = net().to(form), images(17).to(form)
    model = guarded(plain)
    assert torch.equal(model(x), plain(x))
    assert model.state_dict().keys() == plain.state_dict().keys()


def test_a_struck_output_is_outvoted() -> None:
    """In float32 and where every output is rounded to int8; a fault of a weight is in all three."""
    plain = Network.capture(net(), SHAPE, batch_size=3)
    network = Network.capture(guarded(net()), SHAPE, batch_size=3)
    assert network.sites == plain.sites
    assert network.parameter_sites == plain.parameter_sites
    form = format_named("int8")
    deployment = deployment_of(network, form, form, {site.name: (-3.0, 3.0) for site in network.sites})
    dynamic = deployment_of(network, format_named("mxint8"), None, {})

    def strike(value_BN: Tensor) -> Tensor:
        return value_BN.neg().index_fill(1, torch.tensor([1]), torch.nan)

    for one, other in (
        (plain, network),
        *((plain.deployed(each), network.deployed(each)) for each in (deployment, dynamic)),
    ):
        expected = one.forward(images())
        assert torch.equal(other.forward(images()), expected)
        for site in OPERATIONS:
            assert torch.equal(other.forward(images(), strike={site: strike}), expected)
    faulty = {"head.weight": plain.parameters["head.weight"] * 2}
    assert torch.equal(network.forward(images(), parameters=faulty), plain.forward(images(), parameters=faulty))


def test_a_vote_is_bit_by_bit() -> None:
    """Both other computations say the same, whatever the struck one says."""
    x, weight = torch.randn(2, 5), torch.randn(3, 5)
    output = nn.functional.linear(x, weight)
    for bit in range(32):
        wrong = output.clone()
        wrong.view(torch.int32)[1, 2] ^= 1 << bit if bit < 31 else -(1 << 31)
        assert torch.equal(voted(wrong, x, weight, None, [], [], [], 1), output)


def test_gradients_and_cost() -> None:
    x = images().requires_grad_()
    (expected,) = torch.autograd.grad(net()(x).square().sum(), x)
    (found,) = torch.autograd.grad(guarded(net())(x).square().sum(), x)
    assert torch.equal(found, expected)
    assert extra_macs(20) == 40


def test_refusals() -> None:
    transposed = nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(TgrError, match='"0" is a transposed convolution, which guards do not compute'):
        guarded(transposed, ("0",))
    with pytest.raises(TgrError, match='protected by voting in "tail", and runs no such conv or linear'):
        guarded(net(), ("tail",))
