"""The shared captures of small networks: each network keeps its own weights."""

import captures
import pytest
import torch
from torch import nn
from toys import toy_net

from tgr_cli.faults import graph
from tgr_cli.faults.graph import Network
from tgr_cli.models.classifier import TextGuidedClassifier
from tgr_cli.models.digits_cnn import DigitsCNN

SHAPE = (1, 8, 8)


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


def test_equal_toys_are_captured_once_and_each_keeps_its_own_weights(counted: list[nn.Module]) -> None:
    models = [toy_net(), toy_net()]
    networks = [Network.capture(model, SHAPE, batch_size=2) for model in models]
    assert counted == models[:1]
    x = torch.rand(2, *SHAPE)
    assert torch.equal(networks[1].forward(x), models[1](x))
    with torch.no_grad():
        models[1].conv1.weight.zero_()
    assert torch.equal(networks[1].forward(x), models[1](x))
    assert torch.equal(networks[0].forward(x), toy_net()(x))
    assert {name: t.data_ptr() for name, t in networks[1].parameters.items()} == {
        name: t.data_ptr() for name, t in models[1].named_parameters()
    }


@pytest.mark.parametrize("change", ["weights", "hook", "forward", "batch"])
def test_a_toy_that_differs_is_captured_anew(counted: list[nn.Module], change: str) -> None:
    Network.capture(toy_net(), SHAPE, batch_size=2)
    other = toy_net(seed=int(change == "weights"))
    if change == "hook":
        other.fc.register_forward_hook(lambda module, inputs, output: output * 2)
    if change == "forward":
        other.relu.forward = nn.Identity().forward
    network = Network.capture(other, SHAPE, batch_size=2 + (change == "batch"))
    assert len(counted) == 2
    x = torch.rand(network.batch_size, *SHAPE)
    assert torch.equal(network.forward(x), other(x))


def test_networks_of_the_zoo_are_captured_once_and_what_else_there_is_is_not(counted: list[nn.Module]) -> None:
    x = torch.rand(2, *SHAPE)
    for _ in range(2):
        torch.manual_seed(0)
        guided = TextGuidedClassifier(DigitsCNN(8), 3, 8).eval()
        assert torch.equal(Network.capture(guided, SHAPE, batch_size=2).forward(x), guided(x))
    assert len(counted) == 1
    for _ in range(2):
        Network.capture(nn.Sequential(toy_net(), nn.Softmax(1)).eval(), SHAPE, batch_size=2)
    assert len(counted) == 3
