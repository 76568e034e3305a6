"""A small network with every kind of site other than a module that is called once."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Table(nn.Module):
    """Computes a bias from a constant, as Swin-V2 does from relative positions; independent of the images."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Linear(2, 4, bias=False)
        self.register_buffer("coordinates", torch.arange(8.0).reshape(4, 2), persistent=False)

    def forward(self) -> Tensor:
        return torch.sigmoid(self.table(self.coordinates))


class Projection(nn.Module):
    """A linear layer that is not a module, so hooks do not see it."""

    def __init__(self) -> None:
        super().__init__()
        self.mix_weight = nn.Parameter(torch.randn(4, 4))

    def forward(self, x_BTE: Tensor) -> Tensor:
        return functional.linear(x_BTE, self.mix_weight)


class Awkward(nn.Module):
    """Takes 1×8×8 images as 4 tokens of 4 channels; has shared, functional, repeated and tokens-first sites."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 4, 4, stride=4)
        self.bias = Table()
        self.twice = nn.Linear(4, 4)
        self.functional = Projection()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.head_matrix = nn.Parameter(torch.randn(4, 3))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        tokens_BTE = self.patches(x_BCHW).flatten(2).transpose(1, 2) + self.bias()
        tokens_BTE = self.twice(torch.tanh(self.twice(tokens_BTE)))
        tokens_BTE = tokens_BTE + self.functional(tokens_BTE)
        tokens_BTE = tokens_BTE + self.attention(tokens_BTE, tokens_BTE, tokens_BTE, need_weights=False)[0]
        scores_BTT = torch.einsum("bte,bse->bts", tokens_BTE, tokens_BTE).softmax(dim=2)
        map_BEHW = (scores_BTT @ tokens_BTE).transpose(1, 2).reshape(-1, 4, 2, 2)
        return self.up(map_BEHW).mean(dim=(2, 3)).repeat(1, 2) @ self.head_matrix


def awkward(seed: int = 0) -> Awkward:
    """Return the network in evaluation mode; its weights depend on `seed` only."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Awkward().eval()
