"""A network that torch.export cannot trace: which way it goes depends on the image."""

import torch
from torch import Tensor, nn


class Choosing(nn.Module):
    """Light 1×8×8 images pass `mix` twice, very light ones a third time."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 4, stride=4)
        self.up = nn.ConvTranspose2d(2, 2, 2)
        self.table = nn.Linear(3, 18, bias=False)
        self.mix = nn.Linear(18, 18)
        self.head = nn.Linear(18, num_classes)
        self.register_buffer("coordinates", torch.ones(3))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BE = self.up(self.conv(x_BCHW)).flatten(1) + self.table(self.coordinates)
        x_BE = self.mix(x_BE)
        if x_BCHW.mean() > 0.3:
            x_BE = self.mix(torch.relu(x_BE))
        if x_BCHW.mean() > 0.8:
            x_BE = self.mix(torch.relu(x_BE))
        return self.head(x_BE)


def build(num_classes: int = 3) -> Choosing:
    """Return the network with weights that are always the same: `--model toys_choosing:build`."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return Choosing(num_classes).eval()
