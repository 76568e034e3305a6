"""A network with every kind of weighted operation, for the tests of guards."""

import torch
from torch import Tensor, nn

SHAPE = (3, 8, 8)
OPERATIONS = ("first", "depthwise", "grouped", "again#1", "again#2", "weight", "head")
WEIGHTS = ("first.weight", "depthwise.weight", "grouped.weight", "again.weight", "weight", "head.weight")


class Net(nn.Module):
    """Convolutions with groups, with padding by name, called twice, called as a function, and in-place activations."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding="same")
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.grouped = nn.Conv2d(8, 12, 1, groups=2)
        self.again = nn.Conv2d(12, 12, 1)
        self.weight = nn.Parameter(torch.randn(5, 12, 3, 3) / 10)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.depthwise(self.first(x)), inplace=True)
        x = self.again(self.again(self.grouped(x)).relu_())
        x = nn.functional.conv2d(x, weight=self.weight, stride=2, padding=(1, 0), dilation=1)
        return self.head(x.mean((2, 3)))


def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def images(count: int = 3) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))
