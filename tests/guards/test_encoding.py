"""Encoded tensors: no alarm without a fault, and every fault of a stored value is corrected or found as it is read."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from quantised import Int8Net
from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.faults.deploying import deployment_of
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.graph import Network
from tgr_cli.guards.encoding import WRONG_WORD, Code, Encoding, WrongWord, encoded, extra_bytes
from tgr_cli.guards.guard import guards_of, protect
from tgr_cli.guards.tensors import stored_tensors, tensors_read
from tgr_cli.guards.voting import Voting
from tgr_cli.protection.guarding import GUARDINGS, Making
from tgr_cli.steps.guard import _operations

SHAPE = (3, 8, 8)


class Standardised(nn.Conv2d):
    """A convolution with weight standardisation, as ResNet-V2 BiT has."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


class Net(nn.Module):
    """A network that stores tensors wherever networks do: in norms, tokens, scalars, lists, shared, and unread."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = Standardised(3, 8, 3), nn.BatchNorm2d(8)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 4, 3, bias=False))
        self.plain_norm = nn.BatchNorm2d(4, affine=False)
        self.token, self.scale = nn.Parameter(torch.randn(1, 1, 4)), nn.Parameter(torch.tensor(0.5))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight
        self.recurrent = nn.GRU(4, 4, batch_first=True)
        self.head, self.unread = nn.Linear(4, 5), nn.Linear(2, 2)
        for norm in (self.norm, self.plain_norm):
            norm.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
            norm.running_mean.normal_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        x = self.plain_norm(self.normed(self.norm(self.conv(x)).relu()))
        x = torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = self.two(self.one(x).relu())
        return self.head(self.recurrent(x[:, :2])[0][:, -1] * self.scale.exp())


READ = (
    *("conv.weight", "conv.bias", "norm.running_mean", "norm.running_var", "norm.weight", "norm.bias"),
    *("normed.parametrizations.weight.original0", "normed.parametrizations.weight.original1"),
    *("plain_norm.running_mean", "plain_norm.running_var", "token", "attention.in_proj_weight"),
    *("attention.in_proj_bias", "attention.out_proj.weight", "attention.out_proj.bias"),
    *("one.weight", "one.bias", "two.bias", "scale", "head.weight", "head.bias"),
    *(f"recurrent.{kind}_{of}_l0" for kind in ("weight", "bias") for of in ("ih", "hh")),
)


def net(form: torch.dtype = torch.float32) -> Net:
    torch.manual_seed(0)
    return Net().eval().to(form).requires_grad_(False)


def images(count: int = 3, form: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1)).to(form)


def with_encoded(plain: nn.Module, code: Code) -> nn.Module:
    model = copy.deepcopy(plain)
    for name in READ:
        stored = stored_tensors(model)[name]
        stored.data = encoded(stored, code)
    return model


def guarded(plain: nn.Module, code: Code, answer: WrongWord) -> nn.Module:
    example = torch.zeros(1, *SHAPE, dtype=next(plain.parameters()).dtype)
    return protect(with_encoded(plain, code), [Encoding(READ, code, answer)], example)


@contextmanager
def struck(model: nn.Module, name: str, *bits: int) -> Iterator[nn.Module]:
    """Within the context, some bits of the last element of a tensor are flipped."""
    stored = stored_tensors(model)[name].data.view(-1).view(torch.int32)
    before = int(stored[-1])
    for bit in bits:
        stored[-1] ^= 1 << bit if bit < 31 else -(1 << 31)
    yield model
    stored[-1] = before


def without(model: nn.Module, name: str, answer: str) -> Tensor:
    """Return the logits where the last element of a tensor is 0, or the lower median of the others."""
    other = copy.deepcopy(model)
    values = stored_tensors(other)[name].data.view(-1)
    others = sorted(values[:-1].tolist())
    values[-1] = others[(len(others) - 1) // 2] if answer == "median" and others else 0
    logits: Tensor = other(images())
    return logits


def making(model: nn.Module) -> Making:
    example = torch.zeros(1, *SHAPE)
    read = tensors_read(model, example)
    return Making(_operations(model, example), read, model.state_dict().keys(), None, None, None)


def test_what_is_read_is_found() -> None:
    """A shared tensor has its first name; a batch counter, and a layer that does not run, are not read."""
    read = tensors_read(net(), images(1))
    assert set(read) == set(READ)
    assert list(read)[:2] == ["conv.weight", "conv.bias"]
    for code in ("parity", "secded"):
        made, before = making(net()), net()
        guard = GUARDINGS[code].make(made)
        assert isinstance(guard, Encoding)
        assert guard.names == tuple(read)
        assert made.left_out == []
        assert all(torch.equal(made.tensors[name], encoded(stored_tensors(before)[name], code)) for name in READ)


@torch.no_grad()
@pytest.mark.parametrize("code", ["parity", "secded"])
@pytest.mark.parametrize("form", [torch.float32, torch.float64, torch.bfloat16])
def test_without_a_fault_the_logits_keep_their_bits(code: Code, form: torch.dtype) -> None:
    unguarded, x = with_encoded(net(form), code), images(5, form)
    for answer in WRONG_WORD:
        model = guarded(net(form), code, answer)
        assert torch.equal(model(x), unguarded(x))
        assert torch.equal(copy.deepcopy(model)(x), unguarded(x))
        for (name, one), (_, other) in zip(model.state_dict().items(), unguarded.state_dict().items(), strict=True):
            assert torch.equal(one, other), name
        assert all(isinstance(parameter, nn.Parameter) for parameter in model.parameters())


@torch.no_grad()
def test_a_fault_of_any_tensor_is_corrected_or_found() -> None:
    expected = net()(images())
    for answer in WRONG_WORD:
        model = guarded(net(), "secded", answer)
        for place, name in enumerate(READ):
            with struck(model, name, place % 32):
                assert torch.equal(model(images()), expected), name
            with struck(model, name, 30, 3):
                found = model(images())
                if answer == "flag":
                    assert found.isnan().all(), name
                else:
                    assert torch.equal(found, without(net(), name, answer)), name
    plain, flag = with_encoded(net(), "parity"), guarded(net(), "parity", "flag")
    for answer in ("median", "zero"):
        model = guarded(net(), "parity", answer)  # type: ignore[arg-type]
        for place, name in enumerate(READ):
            with struck(model, name, 31 - place % 32), struck(flag, name, 31 - place % 32):
                assert torch.equal(model(images()).nan_to_num(), without(plain, name, answer).nan_to_num()), name
                assert flag(images()).isnan().all(), name


@torch.no_grad()
def test_in_the_graph() -> None:
    """The check reads the tensor that is struck there, and sites are those of the plain model, in their order."""
    plain = Network.capture(with_encoded(net(), "parity"), SHAPE, batch_size=3)
    assert {site.name for site in plain.parameter_sites} == set(READ)
    for code, answer in (("secded", "median"), ("parity", "flag")):
        network = Network.capture(guarded(net(), code, answer), SHAPE, batch_size=3)  # type: ignore[arg-type]
        assert network.sites == plain.sites
        assert network.parameter_sites == plain.parameter_sites
        assert [network.output_axis(name) for name in READ] == [plain.output_axis(name) for name in READ]
        expected = network.forward(images())
        for name in READ:
            faulty = network.parameters[name].clone()
            faulty.view(-1).view(torch.int32)[-1] ^= 1 << 29
            found = network.forward(images(), parameters={name: faulty})
            assert torch.equal(found, expected) if code == "secded" else found.isnan().all(), name
    with pytest.raises(TgrError, match="--weight-format is int8, and the model is protected by an encoding"):
        network.deployed(deployment_of(network, None, format_named("int8")))


def test_gradients_pass() -> None:
    """Through the guarded model, and through its graph, by every tensor; integers are given as float32 there."""
    unguarded, model = net().requires_grad_(), guarded(net().requires_grad_(), "secded", "zero")
    unguarded(images()).square().sum().backward()
    model(images()).square().sum().backward()
    for (name, one), (_, other) in zip(unguarded.named_parameters(), model.named_parameters(), strict=True):
        assert one.grad is other.grad is None or torch.equal(one.grad, other.grad), name  # type: ignore[arg-type]
    for plain, shape in ((net(), SHAPE), (Int8Net().eval(), (1, 8, 8))):
        x, labels = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1])
        names = tuple(tensors_read(plain, x[:1]))
        other = protect(copy.deepcopy(plain), [Encoding(names, "secded", "flag")], x[:1])
        places = {name: torch.zeros(1, dtype=torch.int64) for name in names}
        one, two = (
            Gradients(Network.capture(each, shape, batch_size=2)).of_tensors([(x, labels)], places)
            for each in (plain, other)
        )
        assert all(torch.equal(one[name], two[name]) for name in names)
        assert sum(bool(value) for value in one.values()) > len(names) // 2


def test_a_pass_that_fails_leaves_the_tensors() -> None:
    model, before = guarded(net(), "secded", "zero"), net().state_dict()
    with pytest.raises(RuntimeError):
        model(torch.zeros(1, 5, 8, 8))
    assert all(isinstance(parameter, nn.Parameter) for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(images()), net()(images()))


def test_other_guards_see_the_decoded_tensors() -> None:
    names = ("head",)
    model = protect(net(), [Voting(names), Encoding(READ, "secded", "flag")], images(1))
    with torch.no_grad(), struck(model, "head.weight", 30):
        assert torch.equal(model(images()), net()(images()))


@torch.no_grad()
def test_words_of_a_quantised_model() -> None:
    class Quantised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("words", torch.arange(-96, 96, dtype=torch.int8).reshape(4, 48))
            self.register_buffer("scale", torch.tensor(0.01))
            self.register_buffer("places", torch.tensor([0, 3, 2, 1]))
            self.register_buffer("shift", torch.ones(4), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return (nn.functional.linear(x.flatten(1)[:, :48], self.words * self.scale) + self.shift)[:, self.places]

    model, made = Quantised().eval(), making(Quantised().eval())
    guard = GUARDINGS["secded"].make(made)
    assert isinstance(guard, Encoding)
    assert set(guard.names) == {"words", "scale", "shift"}
    expected = model(images())
    protect(model, [guard], images(1))
    for bit in range(8):
        model.words.view(-1)[5] ^= (1 << bit) - (256 if bit == 7 else 0)
        assert torch.equal(model(images()), expected)
        model.words.view(-1)[5] ^= (1 << bit) - (256 if bit == 7 else 0)
    made = making(Quantised().eval())
    assert GUARDINGS["parity"].make(made).to_json()["tensors"] == ["scale"]
    assert sorted(made.left_out) == [
        '"shift" is computed when the model is built, so its lowest bits cannot be kept for parity; use secded',
        '"words" is stored as torch.int8, whose lowest bit parity would change too much; use secded',
    ]


def test_memory() -> None:
    assert extra_bytes(torch.zeros(64, 32), "parity") == 0
    assert extra_bytes(torch.zeros(64, 32), "secded") == 64 * 32 * 4 * 7 // 32
    assert extra_bytes(torch.zeros(3, dtype=torch.float16), "secded") == 3
    assert extra_bytes(torch.zeros(8, dtype=torch.float64), "secded") == 8
    assert extra_bytes(torch.zeros(8, dtype=torch.int8), "secded") == 5


def test_a_variance_of_0_is_warned_of() -> None:
    assert "variances of 2 batch norms" in Encoding(READ, "parity", "zero").caution
    for names, code, answer in (
        (READ, "parity", "flag"),
        (READ, "parity", "median"),
        (READ, "secded", "zero"),
        (("head.bias",), "parity", "zero"),
    ):
        assert not Encoding(names, code, answer).caution  # type: ignore[arg-type]


def test_one_guard_serves_several_models() -> None:
    guard, other = Encoding(("head.weight",), "secded", "flag"), Net().eval()
    one, two = protect(net(), [guard], images(1)), protect(copy.deepcopy(other), [guard], images(1))
    assert torch.equal(one(images()), net()(images()))
    assert torch.equal(two(images()), other(images()))
    assert guards_of(one) == guards_of(two) == (guard,)


def test_refusals() -> None:
    model = net()
    with pytest.raises(TgrError, match=r'"conv.weight" is not encoded: \d+ of its 216 values have the wrong parity'):
        protect(model, [Encoding(("conv.weight",), "parity")], images(1))
    with pytest.raises(TgrError, match=r'protected by encoding in "unread.weight", and reads no such tensor .it has'):
        protect(model, [Encoding(("unread.weight",))], images(1))
    outside = model.head.bias
    model.head.forward = lambda x: nn.functional.linear(x, model.head.weight, outside)  # type: ignore[method-assign]
    with pytest.raises(TgrError, match=r'"head.bias" is read from a place of its own'):
        protect(model, [Encoding(("head.bias",))], images(1))
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
