"""A small network for 8×8 one-channel images: scikit-learn's digits."""

import torch
from torch import nn
from torch.nn import functional


class DigitsCNN(nn.Module):
    """Three 3×3 convolutions (outputs 32×8×8, 32×4×4, 64×4×4), pooling after the first and last, one linear layer."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc = nn.Linear(64 * 2 * 2, num_classes)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x_BCHW)), 2)
        x = functional.relu(self.conv2(x))
        x = functional.max_pool2d(functional.relu(self.conv3(x)), 2)
        return self.fc(torch.flatten(x, 1))
