"""Convolutions and linear layers as guards compute them again: the same function with the same arguments.

Suffixes: B batch, C channels in, O channels out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import functional

from tgr_cli.errors import TgrError
from tgr_cli.guards.operations import CONVOLUTIONS, Operation

CONVOLVE = dict(zip((1, 2, 3), (functional.conv1d, functional.conv2d, functional.conv3d), strict=True))


class Product(NamedTuple):
    """A convolution's arguments, the lists in full; a linear layer's have empty lists and one group."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int

    @classmethod
    def of(cls, operation: Operation) -> "Product":
        """Return the product that a convolution (not a transposed one) or a linear layer computes.

        Raises TgrError for a convolution that pads one side more than the other.
        """
        x, weight, bias = operation.argument(0, "input"), operation.argument(1, "weight"), operation.argument(2, "bias")
        if operation.kind == "linear":
            return cls(x, weight, bias, [], [], [], 1)
        assert operation.called in CONVOLUTIONS, operation.called
        dimensions = weight.ndim - 2

        def each(value: Any) -> list[int]:
            values = [value] if isinstance(value, int) else list(value)
            return values * dimensions if len(values) == 1 else values

        stride, dilation = each(operation.argument(3, "stride", 1)), each(operation.argument(5, "dilation", 1))
        padding = operation.argument(4, "padding", 0)
        if padding == "same":
            padding = [size * (kernel - 1) for size, kernel in zip(dilation, weight.shape[2:], strict=True)]
            if any(total % 2 for total in padding):
                raise TgrError(
                    f'"{operation.path}" pads unequally (padding="same", even kernel), which guards do not compute; '
                    "leave it out"
                )
            padding = [total // 2 for total in padding]
        padding = each(0 if padding == "valid" else padding)
        return cls(x, weight, bias, stride, padding, dilation, operation.argument(6, "groups", 1))

    def run(self) -> Tensor:
        """Compute the output [B, O, …], or [..., O] of a linear layer."""
        if not self.stride:
            return functional.linear(self.x, self.weight, self.bias)
        return CONVOLVE[len(self.stride)](*self)
