"""A network whose weights are int8 tensors with a scale a channel, as people write them by hand: `Int8Net`."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from toys import toy_net


class Int8Layer(nn.Module):
    """Holds a weight as int8, a float32 scale for each output, and a bias."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        shape = (-1, *[1] * (weight.ndim - 1))
        scale = weight.abs().flatten(1).amax(dim=1).div(127).reshape(shape)
        self.register_buffer("weight_int8", (weight / scale).round().clamp(-128, 127).to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = nn.Parameter(bias)

    def real(self) -> Tensor:
        return self.weight_int8.float() * self.scale


class Int8Conv(Int8Layer):
    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.real(), self.bias, padding=1)


class Int8Linear(Int8Layer):
    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.real(), self.bias)


class Int8Net(nn.Module):
    """The toy network, whose activations are rounded to 8 bits after the first layer, too."""

    def __init__(self) -> None:
        super().__init__()
        plain = toy_net()
        self.conv1 = Int8Conv(plain.conv1.weight.detach(), plain.conv1.bias.detach())
        self.conv2 = Int8Conv(plain.conv2.weight.detach(), plain.conv2.bias.detach())
        self.fc = Int8Linear(plain.fc.weight.detach(), plain.fc.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.conv1(x).relu(), 2)
        x = torch.round(x * 64).clamp(0, 255) / 64
        x = functional.max_pool2d(self.conv2(x).relu(), 2)
        return self.fc(x.flatten(1))


def build() -> nn.Module:
    """`--model quantised:build`."""
    return Int8Net().eval()
