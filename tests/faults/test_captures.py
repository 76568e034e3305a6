"""The shared captures of networks: each network keeps its own weights, and one that differs is captured anew."""

from collections.abc import Callable
from types import SimpleNamespace

import captures
import pytest
import torch
from torch import Tensor, nn
from toys import ToyNet, toy_net

from tgr_cli.faults import graph
from tgr_cli.faults.graph import Network

from .awkward import awkward
from .varied import SHAPE_CHW, varied

SHAPE = (1, 8, 8)
_SHAPES = (SHAPE_CHW, SHAPE_CHW, SHAPE, SHAPE)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Return the list of models that are actually captured from now on."""
    done: list[nn.Module] = []
    real = graph.export.captures

    def noted(model: nn.Module, *arguments, **options):
        done.append(model)
        return real(model, *arguments, **options)

    monkeypatch.setattr(captures, "_programs", {})
    monkeypatch.setattr(graph, "export", captures._remembering(noted))
    return done


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Return a function that asks for a capture, and returns whether it was made anew; the graph is empty."""
    made: list[nn.Module] = []

    def noted(model: nn.Module, *arguments, **options):
        made.append(model)
        return SimpleNamespace(constants={})

    monkeypatch.setattr(captures, "_programs", {})
    export = captures._remembering(noted)

    def anew(model: nn.Module, batch_size: int = 2) -> bool:
        before = len(made)
        export(model, torch.zeros(batch_size, *SHAPE), decompose_attention=False)
        return len(made) > before

    return anew


def test_toys_are_captured_once_and_each_keeps_its_own_weights(counted: list[nn.Module]) -> None:
    models = [toy_net(0), toy_net(0), toy_net(1)]
    networks = [Network.capture(model, SHAPE, batch_size=2) for model in models]
    assert counted == models[:1]
    x = torch.rand(2, *SHAPE)
    for network, model in zip(networks, models, strict=True):
        assert torch.equal(network.forward(x), model(x))
    with torch.no_grad():
        models[1].conv1.weight.zero_()
    assert torch.equal(networks[1].forward(x), models[1](x))
    assert torch.equal(networks[0].forward(x), toy_net()(x))
    assert {name: t.data_ptr() for name, t in networks[1].parameters.items()} == {
        name: t.data_ptr() for name, t in models[1].named_parameters()
    }


def test_each_network_keeps_its_own_buffers(counted: list[nn.Module]) -> None:
    models = [varied("residual"), varied("residual", 1), awkward(), awkward()]
    with torch.no_grad():
        models[-1].bias.coordinates.add_(1)  # a buffer that no state dict holds
    networks = [Network.capture(model, shape, batch_size=2) for model, shape in zip(models, _SHAPES, strict=True)]
    assert counted == models[::2]
    for network, model, shape in zip(networks, models, _SHAPES, strict=True):
        x = torch.rand(2, *shape)
        torch.testing.assert_close(network.forward(x), model(x).detach())  # attention differs in its last bits


class Shifted(nn.Module):
    """Adds a tensor that is neither a parameter nor a buffer, so the graph holds it."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = torch.tensor(shift)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


def _changed(change: str) -> ToyNet:
    model = toy_net()
    if change == "hook":
        model.fc.register_forward_hook(lambda module, inputs, output: output * 2)
    if change == "method of its own":
        model.relu.forward = nn.Identity().forward
    if change == "stride":
        model.conv1.stride = (2, 2)
        model.pool = nn.Identity()
        model.fc = nn.Linear(6 * 4 * 4, 3)
    if change == "pooling":
        model.pool.padding = 1
        model.fc = nn.Linear(6 * 3 * 3, 3)
    if change == "activation":
        model.relu = nn.Threshold(0.1, 0.3)
    if change in ("0.25", "0.5"):
        model.relu = Shifted(float(change))
    return model.eval()


def test_toys_that_differ_are_captured_anew(asked: Callable[..., bool]) -> None:
    for change in ("none", "hook", "method of its own", "stride", "pooling", "activation", "0.25", "0.5"):
        assert asked(_changed(change)), change
    for change in ("none", "stride", "pooling", "activation", "0.25", "0.5"):
        assert not asked(_changed(change)), change


def test_another_batch_is_captured_anew(asked: Callable[..., bool]) -> None:
    model = toy_net()
    assert [asked(model, size) for size in (2, 3, 2)] == [True, True, False]


def test_weights_that_are_one_tensor_are_not_taken_for_two(counted: list[nn.Module]) -> None:
    models = [nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64)).eval() for _ in range(2)]
    models[1][2].weight = models[1][1].weight
    networks = [Network.capture(model, SHAPE, batch_size=2) for model in models]
    assert counted == models
    assert [len(network.parameters) for network in networks] == [4, 3]


def test_networks_that_hold_something_unknown_are_captured_anew(asked: Callable[..., bool]) -> None:
    for _ in range(2):
        model = toy_net()
        model.steps = iter(range(9))  # it may move at each forward pass, and nothing shows where it stands
        assert asked(model)


def test_a_method_replaced_in_its_class_is_seen(asked: Callable[..., bool], monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_net()
    assert asked(model)
    assert not asked(model)
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: x.abs())
    assert asked(model)
