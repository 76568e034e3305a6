"""The straight-through estimator: a rounded value, with the derivative that it would have without rounding.

Y. Bengio, N. Léonard and A. Courville, "Estimating or propagating gradients through stochastic neurons for conditional
computation", 2013 (arXiv:1308.3432). The derivative of rounding itself is zero almost everywhere.
"""

from typing import Any

import torch
from torch import Tensor


def straight(value: Tensor, rounded: Tensor, slope: Tensor | float = 1.0) -> Tensor:
    """Return `rounded`, whose derivative by `value` is taken to be `slope`; all have the shape of `value`."""
    result: Tensor = _Straight.apply(value, rounded, slope)
    return result


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, rounded: Tensor, slope: Tensor | float) -> Tensor:
        ctx.slope, ctx.dtype = slope, value.dtype
        return rounded.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return (gradient * ctx.slope).to(ctx.dtype), None, None
