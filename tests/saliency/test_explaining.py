"""Choice of the layer, and its map against Ablation-CAM by hand, one channel at a time."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from toys import ToyNet, toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.graph import Network
from tgr_cli.models.classifier import TextGuidedClassifier
from tgr_cli.saliency.ablation import Explainer
from tgr_cli.saliency.layer import find, work_after

SHAPE = (1, 8, 8)


class Residual(nn.Module):
    """Two paths from `stem` to the logits: through `branch` and around it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch, self.fc = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor, ablated: int | None = None, seen: list[Tensor] | None = None) -> Tensor:
        past = self.stem(x)
        maps = self.branch(past.relu())
        if seen is not None:
            seen.append(maps)
        if ablated is not None:
            maps = maps.index_fill(1, torch.tensor(ablated), 0)
        return self.fc((past + maps).relu().mean(dim=(2, 3)))


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 5, 2, stride=2), nn.LayerNorm(5), nn.Linear(5, 3)

    def forward(self, x: Tensor, ablated: int | None = None, seen: list[Tensor] | None = None) -> Tensor:
        maps = self.norm(self.conv(x).permute(0, 2, 3, 1))
        if seen is not None:
            seen.append(maps.permute(0, 3, 1, 2))
        if ablated is not None:
            maps = maps.index_fill(3, torch.tensor(ablated), 0)
        return self.fc(maps.mean(dim=(1, 2)))


def made(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return make().eval().requires_grad_(False)


@cache
def captured(make: Callable[[], nn.Module], batch_size: int = 3) -> Network:
    """Return the network of a model; tests share it, since none changes it."""
    return Network.capture(made(make), SHAPE, batch_size=batch_size)


def guided() -> TextGuidedClassifier:
    return TextGuidedClassifier(ToyNet(5), 3, 5)


def by_hand(model: nn.Module, x_1CHW: Tensor, label: int) -> np.ndarray:
    """Return relu(Σ drop_k · map_k) scaled to [0, 1], where drop_k is the drop of the class score without channel k."""
    seen: list[Tensor] = []
    score = model(x_1CHW, seen=seen)[0, label]
    maps_CHW = seen[0][0]
    drop_C = torch.stack([score - model(x_1CHW, ablated=k)[0, label] for k in range(len(maps_CHW))])
    map_HW = (drop_C[:, None, None] * maps_CHW).sum(0).relu()
    return ((map_HW - map_HW.min()) / (map_HW.max() - map_HW.min()).clamp(min=1e-7)).numpy()


@pytest.mark.parametrize(
    ("make", "name", "batch_size"),  # 4 and 5 channels, in batches with a remainder or all at once
    [(Residual, "branch", 3), (Residual, "branch", 16), (ChannelsLast, "norm", 2)],
)
def test_the_map_is_that_of_ablations_done_by_hand(make: Callable[[], nn.Module], name: str, batch_size: int) -> None:
    network, model = captured(make, batch_size), made(make)
    before = {name: tensor.clone() for name, tensor in network.parameters.items()}
    explainer = Explainer(network, find(network, name))
    assert explainer.layer.channels_last == (make is ChannelsLast)
    x_1CHW = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(2))
    logits_C = model(x_1CHW)[0]
    assert logits_C.min() < 0  # grad-cam's division by a negative score would invert the map
    seen = explainer.see(x_1CHW[0])
    assert seen.logits_C.numpy() == pytest.approx(logits_C.numpy(), abs=1e-6)
    for label in range(3):
        map_HW = explainer.explain(seen, label)
        assert map_HW.max() > 0.99 or not map_HW.any()
        assert map_HW == pytest.approx(by_hand(model, x_1CHW, label), abs=1e-3)
    for name, tensor in model.state_dict().items():
        assert torch.equal(network.parameters[name], tensor)
        assert torch.equal(before[name], tensor)


def test_a_faulty_inference_is_that_of_a_model_with_the_faulty_weights() -> None:
    model, other = made(Residual), made(Residual)
    other.branch.weight.mul_(-2)
    network = captured(Residual)
    explainer = Explainer(network, find(network, "branch"))
    x_1CHW = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(2))
    seen = explainer.see(x_1CHW[0], {"branch.weight": other.branch.weight})
    assert seen.logits_C.numpy() == pytest.approx(other(x_1CHW)[0].numpy(), abs=1e-6)
    assert explainer.explain(seen, 1) == pytest.approx(by_hand(other, x_1CHW, 1), abs=1e-3)
    assert explainer.see(x_1CHW[0]).logits_C.numpy() == pytest.approx(model(x_1CHW)[0].numpy(), abs=1e-6)


def test_a_model_in_half_precision_is_explained_to_its_rounding() -> None:
    x_1CHW = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(2))
    network = Network.capture(made(Residual).bfloat16(), SHAPE, batch_size=2)
    explainer = Explainer(network, find(network, "branch"))
    map_HW = explainer.explain(explainer.see(x_1CHW[0]), 1)
    assert np.corrcoef(map_HW.ravel(), by_hand(made(Residual), x_1CHW, 1).ravel())[0, 1] > 0.9


def test_a_layer_that_moves_no_logit_has_a_map_of_zeros() -> None:
    network = captured(Residual)
    explainer = Explainer(network, find(network, "branch"))
    x_CHW = torch.rand(SHAPE, generator=torch.Generator().manual_seed(2))
    assert explainer.explain(explainer.see(x_CHW), 0).any()
    assert not explainer.explain(explainer.see(x_CHW, {"fc.weight": torch.zeros(3, 4)}), 0).any()


def test_the_default_is_the_last_layer_with_maps_that_everything_goes_through() -> None:
    def chosen(make: Callable[[], nn.Module], batch_size: int = 3) -> tuple[str, tuple[int, int, int]]:
        found = find(captured(make, batch_size))
        return found.name, found.shape

    assert chosen(toy_net) == ("pool", (6, 2, 2))
    assert chosen(guided) == ("backbone.pool", (6, 2, 2))
    assert chosen(ChannelsLast, 2) == ("norm", (5, 4, 4))
    # Neither `branch` nor the relu before it, which one path bypasses. The relu after the sum is functional, so its
    # graph node gives the name.
    name, shape = chosen(Residual)
    assert name.startswith("relu")
    assert shape == (4, 8, 8)


def test_a_layer_by_name() -> None:
    network = captured(guided)
    assert find(network, "conv2").name == find(network, "backbone.conv2").name == "backbone.conv2"
    assert find(network, "conv2").shape == (6, 4, 4)
    assert find(network, "pool").shape == (6, 2, 2)  # that of its last call
    assert 0 < work_after(network, find(network)) < 0.1 < 0.5 < work_after(network, find(network, "conv1")) < 1
    with pytest.raises(TgrError, match=r'--layer "conv3" is no module that the images go through; name one of .*conv2'):
        find(network, "conv3")
    with pytest.raises(TgrError, match=r'--layer "fc" has the shape 5 for one image, where maps'):
        find(network, "fc")


def test_a_model_without_maps_is_told() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 3)

        def forward(self, x: Tensor) -> Tensor:
            return functional.relu(self.fc(x.flatten(1)))

    with pytest.raises(TgrError, match="no layer with feature maps"):
        find(Network.capture(made(Flat), SHAPE, batch_size=2))
