"""CIFAR ResNets: three stages of 16, 32 and 64 channels on 3×32×32 images.

He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2.
"""

import torch
from torch import nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut without parameters (the paper's option A)."""

    def __init__(self, in_maps: int, maps: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_maps, maps, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps)
        self.conv2 = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)
        self.stride, self.new_maps = stride, maps - in_maps

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        y_BCHW = functional.relu(self.bn1(self.conv1(x_BCHW)))
        y_BCHW = self.bn2(self.conv2(y_BCHW))
        return functional.relu(y_BCHW + self._shortcut(x_BCHW))

    def _shortcut(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        if not self.new_maps:
            return x_BCHW
        # Pad half of the zero channels before and half after the old ones, as the published weights expect.
        half = self.new_maps // 2
        strided = x_BCHW[:, :, :: self.stride, :: self.stride]
        return functional.pad(strided, (0, 0, 0, 0, half, self.new_maps - half))


class CifarResNet(nn.Module):
    """A CIFAR ResNet with 6n + 2 layers, n blocks per stage."""

    def __init__(self, depth: int, num_classes: int = 10) -> None:
        super().__init__()
        assert depth % 6 == 2, depth
        blocks = depth // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks, stride=2)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(x_BCHW)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


def _stage(in_maps: int, maps: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_maps, maps, stride)
    return nn.Sequential(first, *(BasicBlock(maps, maps, 1) for _ in range(blocks - 1)))
