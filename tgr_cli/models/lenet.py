"""LeNet-5 and a wider, deeper variant, for inputs of 32×32 or 28×28 pixels with one or three channels.

`width` multiplies the neurons of every hidden layer. Of 28×28 pixels 4×4 reach the first linear layer, and of 32×32
pixels 5×5: with the sixteen maps of LeNet-5 these are the 256 and 400 inputs that "Strategies for Improving the Error
Robustness of Convolutional Neural Networks" gives (section III-D).
"""

import torch
from torch import nn
from torch.nn import functional


class LeNet5(nn.Module):
    """LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 1998, figure 2.

    In today's usual form: ReLU, max pooling, and a fully connected second convolution (every input map feeds every
    output map).
    """

    def __init__(self, num_classes: int = 10, *, side: int = 32, channels: int = 1, width: float = 1) -> None:
        super().__init__()
        maps1, maps2, hidden1, hidden2 = _times(width, 6, 16, 120, 84)
        self.conv1 = nn.Conv2d(channels, maps1, 5)
        self.conv2 = nn.Conv2d(maps1, maps2, 5)
        self.fc1 = nn.Linear(maps2 * _side_after(side) ** 2, hidden1)
        self.fc2 = nn.Linear(hidden1, hidden2)
        self.fc3 = nn.Linear(hidden2, num_classes)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x_BCHW)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(functional.relu(self.fc2(x)))


class LeNet5Wide(nn.Module):
    """LeNet-5 with a third convolution and wider layers: "architecture (2)" in "Strategies for Improving the Error

    Robustness of Convolutional Neural Networks".

    The paper gives no widths; those here are about five times LeNet-5's.
    """

    def __init__(self, num_classes: int = 10, *, side: int = 32, channels: int = 1, width: float = 1) -> None:
        super().__init__()
        maps1, maps2, maps3, hidden1, hidden2 = _times(width, 32, 64, 128, 512, 256)
        self.conv1 = nn.Conv2d(channels, maps1, 5)
        self.conv2 = nn.Conv2d(maps1, maps2, 5)
        self.conv3 = nn.Conv2d(maps2, maps3, 3, padding=1)
        self.fc1 = nn.Linear(maps3 * _side_after(side) ** 2, hidden1)
        self.fc2 = nn.Linear(hidden1, hidden2)
        self.fc3 = nn.Linear(hidden2, num_classes)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x_BCHW)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.conv3(x))
        x = functional.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(functional.relu(self.fc2(x)))


def _times(width: float, *neurons: int) -> tuple[int, ...]:
    return tuple(round(width * count) for count in neurons)


def _side_after(side: int) -> int:
    """Return the side of the maps after two 5×5 convolutions without padding, each followed by 2×2 pooling."""
    return ((side - 4) // 2 - 4) // 2
