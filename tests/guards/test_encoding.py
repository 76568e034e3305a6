"""Encoded weights: no alarm without a fault, and every fault of a weight is corrected or found as it is read."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from toys_guards import OPERATIONS, SHAPE, WEIGHTS, Net, images, net

from tgr_cli.errors import TgrError
from tgr_cli.faults.deploying import deployment_of
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.graph import Network
from tgr_cli.guards.encoding import Code, Encoding, WrongWeight, encoded, extra_bytes
from tgr_cli.guards.guard import guards_of, protect
from tgr_cli.protection.guarding import GUARDINGS, Making
from tgr_cli.steps.guard import _operations


def with_encoded_weights(plain: nn.Module, code: Code) -> nn.Module:
    model = copy.deepcopy(plain)
    for parameter in model.parameters():
        parameter.data = encoded(parameter, code)
    return model


def guarded(plain: nn.Module, code: Code, answer: WrongWeight, names: tuple[str, ...] = OPERATIONS) -> nn.Module:
    model = with_encoded_weights(plain, code)
    example = torch.zeros(1, *SHAPE, dtype=next(model.parameters()).dtype)
    return protect(model, [Encoding(names, code, answer)], example)


@contextmanager
def struck(model: nn.Module, name: str, *bits: int, element: int = 0) -> Iterator[nn.Module]:
    """Within the context, some bits of one element of a weight are flipped."""
    stored = model.get_parameter(name).data.view(-1).view(torch.int32)
    before = int(stored[element])
    for bit in bits:
        stored[element] ^= 1 << bit if bit < 31 else -(1 << 31)
    yield model
    stored[element] = before


def without(model: nn.Module, name: str, element: int = 0) -> Tensor:
    """Return the logits where one element of a weight is 0."""
    other = copy.deepcopy(model)
    other.get_parameter(name).data.view(-1)[element] = 0
    logits: Tensor = other(images())
    return logits


@pytest.mark.parametrize("code", ["parity", "secded"])
@pytest.mark.parametrize("form", [torch.float32, torch.float64, torch.bfloat16])
def test_without_a_fault_the_logits_keep_their_bits(code: Code, form: torch.dtype) -> None:
    unguarded = with_encoded_weights(net().to(form), code)
    x = images(5).to(form)
    for answer in ("zero", "flag"):
        model = guarded(net().to(form), code, answer)
        assert torch.equal(model(x), unguarded(x))
        assert model.state_dict().keys() == unguarded.state_dict().keys()
        assert torch.equal(copy.deepcopy(model)(x), unguarded(x))


@torch.no_grad()
def test_secded_corrects_every_single_flip() -> None:
    expected = net()(images())
    for answer in ("zero", "flag"):
        model = guarded(net(), "secded", answer)
        for place, bit in enumerate(range(32)):
            with struck(model, WEIGHTS[place % len(WEIGHTS)], bit, element=place % 5):
                assert torch.equal(model(images()), expected)


@torch.no_grad()
@pytest.mark.parametrize("bits", [(30, 3), (0, 31), (22, 23)])
def test_secded_finds_two_flips(bits: tuple[int, ...]) -> None:
    zero, flag = guarded(net(), "secded", "zero"), guarded(net(), "secded", "flag")
    for name in WEIGHTS:
        with struck(zero, name, *bits, element=4), struck(flag, name, *bits, element=4):
            assert torch.equal(zero(images()), without(net(), name, 4))
            assert flag(images()).isnan().all()


@torch.no_grad()
def test_parity_finds_every_single_flip() -> None:
    zero, flag = guarded(net(), "parity", "zero"), guarded(net(), "parity", "flag")
    plain = with_encoded_weights(net(), "parity")
    for place, bit in enumerate(range(32)):
        name = WEIGHTS[place % len(WEIGHTS)]
        with struck(zero, name, bit, element=3), struck(flag, name, bit, element=3):
            assert torch.equal(zero(images()), without(plain, name, 3))
            assert flag(images()).isnan().all()


def test_in_the_graph() -> None:
    """The check reads the weight that is used there, and sites are those of the plain model."""
    corrected, found = OPERATIONS[:5], OPERATIONS[5:]
    model = net()
    for name in ("weight", "head.weight"):
        model.get_parameter(name).data = encoded(model.get_parameter(name), "parity")
    plain = Network.capture(model, SHAPE, batch_size=3)
    guards = [Encoding(corrected, "secded", "zero"), Encoding(found, "parity", "flag")]
    network = Network.capture(protect(copy.deepcopy(model), guards, images(1)), SHAPE, batch_size=3)
    assert network.sites == plain.sites
    assert network.parameter_sites == plain.parameter_sites
    assert [network.output_axis(name) for name in WEIGHTS] == [plain.output_axis(name) for name in WEIGHTS]
    assert torch.equal(network.forward(images()), plain.forward(images()))
    for name in WEIGHTS:
        with struck(copy.deepcopy(model), name, 30, element=2) as faulty:
            weight = {name: faulty.get_parameter(name).data}
            logits = network.forward(images(), parameters=weight)
            assert not torch.equal(plain.forward(images(), parameters=weight), plain.forward(images()))
        if name in ("weight", "head.weight"):
            assert logits.isnan().all()
        else:
            assert torch.equal(logits, plain.forward(images()))

    form = format_named("int8")
    with pytest.raises(TgrError, match="--weight-format is int8, and the model is protected by an encoding"):
        network.deployed(deployment_of(network, None, form))
    ranges = {site.name: (-3.0, 3.0) for site in network.sites}
    assert network.deployed(deployment_of(network, form, None, ranges)).forward(images()).isfinite().all()


def test_gradients_pass() -> None:
    unguarded, model = net(), guarded(net(), "secded", "zero")
    unguarded(images()).square().sum().backward()
    model(images()).square().sum().backward()
    for (name, one), (_, other) in zip(unguarded.named_parameters(), model.named_parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), name  # type: ignore[arg-type]


def test_memory() -> None:
    assert extra_bytes(torch.zeros(64, 32), "parity") == 0
    assert extra_bytes(torch.zeros(64, 32), "secded") == 64 * 32 * 4 * 7 // 32
    assert extra_bytes(torch.zeros(3, dtype=torch.float16), "secded") == 3
    assert extra_bytes(torch.zeros(8, dtype=torch.float64), "secded") == 8


def test_one_guard_serves_several_models() -> None:
    guard, other = Encoding(("head",), "secded", "flag"), Net().eval()
    one, two = protect(net(), [guard], images(1)), protect(copy.deepcopy(other), [guard], images(1))
    assert torch.equal(one(images()), net()(images()))
    assert torch.equal(two(images()), other(images()))
    assert guards_of(one) == guards_of(two) == (guard,)


def test_refusals() -> None:
    words = r'the weight of "first" is not encoded: \d+ of its 216 values have the wrong parity'
    with pytest.raises(TgrError, match=words):
        protect(net(), [Encoding(("first",), "parity")], images(1))
    with pytest.raises(TgrError, match='protected by encoding in "second", and runs no such conv or linear there'):
        protect(net(), [Encoding(("second",))], images(1))


class Standardised(nn.Conv2d):
    """A convolution with weight standardisation, as ResNet-V2 BiT has."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


@pytest.mark.parametrize("code", ["parity", "secded"])
@pytest.mark.parametrize(
    "conv", [Standardised(3, 4, 3), nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))], ids=["mean", "norm"]
)
def test_a_computed_weight_is_not_what_the_memory_holds(code: Code, conv: nn.Module) -> None:
    model = nn.Sequential(conv, nn.Flatten(), nn.Linear(144, 2)).eval()
    example, before = torch.zeros(1, *SHAPE), copy.deepcopy(model.state_dict())
    with pytest.raises(TgrError, match='weight of "0" is computed in every forward pass'):
        protect(copy.deepcopy(model), [Encoding(("0", "2"), code, "zero")], example)
    making = Making(_operations(model, example), None, None, None)
    assert GUARDINGS[code].make(making).operations == {"2": None}
    assert len(making.left_out) == 1
    after = model.state_dict()
    assert [name for name in after if name != "2.weight" and not torch.equal(after[name], before[name])] == []
