"""Where changes are followed: where that spares much of what `replay` runs, or where many changes end."""

import pytest
import torch
from torch import Tensor, nn

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Delta
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit


class Gated(nn.Module):
    """A stem, a map that is multiplied by a gate of its own means (as in squeeze-and-excitation), and more layers."""

    def __init__(self, activation: nn.Module, layers: int) -> None:
        super().__init__()
        self.stem, self.activation, self.gate = nn.Conv2d(3, 8, 3, padding=1), activation, nn.Conv2d(8, 8, 1)
        self.layers = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(layers)))
        self.fc = nn.Linear(8, 3)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x_NCHW = self.activation(self.stem(x_NCHW))
        x_NCHW = x_NCHW * torch.sigmoid(self.gate(x_NCHW.mean((2, 3), keepdim=True)))
        return self.fc(self.layers(x_NCHW).mean((2, 3)))


class Bounded(nn.Module):
    """Clamps to a bound of each channel, for which there is no rule."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("high", torch.ones(8, 1, 1))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW.clamp(max=self.high)


class Cast(nn.Module):
    """Casts on the way to the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 3)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.fc(self.conv(x_NCHW).double().mean((2, 3)).float())


def followed(model: nn.Module) -> set[str]:
    network = Network.capture(model.eval(), (3, 16, 16), batch_size=2)
    delta = Delta(model, network, Corruption(RangeLimit("none", {})))
    return {site.name for site in network.sites if delta.follows(site)}


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.GELU(), nn.Identity()])
def test_a_gate_that_spreads_changes_over_the_map_ends_the_path(activation: nn.Module) -> None:
    assert followed(Gated(activation, layers=3)) == {"layers.0", "layers.1", "layers.2", "fc"}


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.MaxPool2d(2)])
def test_before_an_operation_at_which_changes_end_they_are_followed_all_the_same(activation: nn.Module) -> None:
    assert "stem" in followed(Gated(activation, layers=3))


def test_a_last_layer_and_the_layers_before_it_are_followed() -> None:
    assert followed(nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(784, 3))) == {"0", "3"}


def test_a_path_ends_at_a_clamp_to_a_bound_of_each_channel() -> None:
    assert "stem" not in followed(Gated(Bounded(), layers=3))


def test_a_path_ends_at_a_cast() -> None:
    assert followed(Cast()) == {"fc"}
