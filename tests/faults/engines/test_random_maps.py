"""Fast engines against the reference on random networks of convolutions, pools, concatenations and flattened maps."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto, Delta, FaultBatch, Full, Replay
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.metrics.outcomes import agree, judge

NONE = Corruption(RangeLimit("none", {}))
FAULTS, IMAGES = 24, 3


class RandomMaps(nn.Module):
    """Random layers until the map has few positions; each branch is flattened separately and concatenated.

    Kernels may be larger than the map, strides larger than kernels; paddings differ between the axes.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.draw = random.Random(seed)
        self.layers = nn.ModuleList()
        x_1CHW = torch.rand(1, 2, self.draw.choice([7, 8, 9]), self.draw.choice([1, 6, 9]))
        self.shape = tuple(x_1CHW.shape[1:])
        self.split = self.draw.randrange(1, 4)
        with torch.no_grad():
            for _ in range(5):
                layer = self._layer(*x_1CHW.shape[1:])
                self.layers.append(layer)
                x_1CHW = layer(x_1CHW)
            width = self._features(torch.rand(1, *self.shape)).shape[1]
        self.head = nn.Linear(width, 3)

    def _side(self, size: int) -> tuple[int, int, int, int]:
        """Return kernel, stride, padding and dilation for a side of this size; the kernel often equals the side."""
        kernel = self.draw.choice([1, 2, 3, size])
        dilation = self.draw.choice([1, 1, 2])
        padding = self.draw.randrange(kernel)
        while dilation * (kernel - 1) + 1 > size + 2 * padding:
            kernel, dilation = max(1, kernel - 1), 1
        return kernel, self.draw.choice([1, 1, 2, 3]), min(padding, kernel // 2), dilation

    def _layer(self, channels: int, height: int, width: int) -> nn.Module:
        kernel, stride, padding, dilation = zip(self._side(height), self._side(width), strict=True)
        fits = all(
            d * (k - 1) + 1 <= size + 2 * p
            for size, k, p, d in zip((height, width), kernel, padding, dilation, strict=True)
        )
        if not fits:
            kernel, padding, dilation = (1, 1), (0, 0), (1, 1)
        ceil = self.draw.random() < 0.5
        kinds: list[Callable[[], nn.Module]] = [
            lambda: nn.Conv2d(channels, 4, kernel, stride, padding, dilation),
            lambda: nn.Conv2d(channels, 4, kernel, stride, padding, dilation, groups=2),
            lambda: nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels),
            lambda: nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil),
            lambda: nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil, count_include_pad=self.draw.random() < 0.5),
            lambda: nn.AdaptiveAvgPool2d(self.draw.choice([1, 2])),
            lambda: nn.ConvTranspose2d(channels, 4, 2, 2),
            lambda: nn.Upsample(scale_factor=2),
        ]
        weights = [6, 2, 2, 3, 3, 1, 1, 1]
        return nn.Sequential(self.draw.choices(kinds, weights)[0](), self.draw.choice([nn.ReLU, nn.Identity])())

    def _features(self, x_BCHW: Tensor) -> Tensor:
        flat = []
        for place, layer in enumerate(self.layers):
            new_BCHW = layer(x_BCHW)
            x_BCHW = new_BCHW + x_BCHW if new_BCHW.shape == x_BCHW.shape else new_BCHW
            if place in (self.split, len(self.layers) - 1):
                flat.append(x_BCHW.flatten(1))
        return torch.cat(flat, dim=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self._features(x_BCHW))


class ShrunkToOne(nn.Module):
    """A kernel as large as the map; its 1×1 output is flattened, concatenated, or added to another."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.shape = way, (1, 8, 8)
        self.first, self.last, self.other = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 2), nn.Conv2d(4, 6, 2)
        self.head = nn.Linear(22 if way == "joined" else 6, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = functional.avg_pool2d(self.first(x_BCHW).relu(), 4)
        last_BE = self.last(x_BCHW).relu()
        if self.way == "joined":
            return self.head(torch.cat([last_BE.flatten(1), x_BCHW.flatten(1)], dim=1))
        return self.head((last_BE + self.other(x_BCHW)).flatten(1) if self.way == "added" else last_BE.flatten(1))


def built(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


CASES = {f"shrunk {way}": lambda way=way: ShrunkToOne(way) for way in ("flattened", "joined", "added")} | {
    f"random {seed}": lambda seed=seed: RandomMaps(seed) for seed in range(2)
}


@pytest.mark.parametrize("name", CASES)
def test_every_engine_gives_what_the_oracle_gives(name: str) -> None:
    model = built(CASES[name])
    network = Network.capture(model, model.shape, batch_size=2)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(1)
    x_NCHW = torch.randn(IMAGES, *model.shape, generator=generator)  # type: ignore[misc]
    full, *fast = (kind(model, network, NONE) for kind in (Full, Replay, Delta, Auto))
    golden_NC = full.prepare(x_NCHW)
    for engine in fast:
        engine.prepare(x_NCHW)
    for site in network.sites:
        bounds = (IMAGES, site.neurons, 32)
        strike = FaultBatch(site, *(torch.randint(0, bound, (FAULTS,), generator=generator) for bound in bounds))
        golden_FC = golden_NC[strike.rows_F]
        label_F = golden_FC.argmax(dim=1)
        right = judge(golden_FC, full.inject(strike).logits_FC, label_F)
        for engine in fast:
            found = judge(golden_FC, engine.inject(strike).logits_FC, label_F)
            for fault in range(FAULTS):
                one, other = ((str(j.outcome[fault]), float(j.dloss[fault])) for j in (found, right))
                assert agree(*one, *other), (engine.name, site.name, fault, one, other)
