"""Checksums of convolutions and linear layers: the sum over output channels, computed in a second way, and compared.

Algorithm-based fault tolerance: K.-H. Huang and J. A. Abraham, Algorithm-Based Fault Tolerance for Matrix Operations,
IEEE Transactions on Computers C-33(6), 1984; for convolutions K. Zhao et al., FT-CNN, IEEE Transactions on Parallel and
Distributed Systems 32(7), 2021. The sum of a group's channels is one channel, that of the summed filters. These are
computed once, from the weights without a fault, so the comparison finds faults of the weights as well.

The two sums differ by rounding, and a fault is what exceeds its bound. With γ_k = ku / (1 − ku), u the unit roundoff,
a sum of n products and a bias, in any order, is computed with an error of at most γ_{n+1} (Σ|w||x| + |b|), with fused
products or not: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, SIAM 2002, section 3.1. The
bound is the sum of these errors (`_bound`), which needs Σ|w| over the group's filters, convolved with |x|: a second
channel. It holds unless a sum overflows, and only for kernels that add up products, in float32 or float64: not for
Winograd's or an FFT, which cuDNN may choose, nor for products in a narrower format, such as TF32.

Suffixes: B batch, O channels out, G groups, P output positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, library

from tgr_cli.errors import TgrError
from tgr_cli.guards.guard import ANSWERS, Answer, OperationGuard, stored_names
from tgr_cli.guards.operations import TRANSPOSED, WEIGHTED, Operation
from tgr_cli.guards.products import Product

UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}


@dataclass(frozen=True)
class Checksum(OperationGuard):
    """The operations whose outputs are compared with a checksum, by name; `answer` is what a difference leads to.

    `rerun` computes the operation again, and takes the result where the sums differ, which mends no fault of a weight;
    `zero` sets the summed values to 0 there; `flag` gives the image NaN for all logits.
    """

    names: tuple[str, ...]
    answer: Answer = "rerun"
    summed: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    technique: ClassVar[str] = "checksum"
    kinds: ClassVar[tuple[str, ...]] = WEIGHTED

    @property
    def operations(self) -> Mapping[str, None]:
        return dict.fromkeys(self.names)

    @property
    def summary(self) -> str:
        return f"checksums of {len(self.names):,} operations, {self.answer}"

    def fitted(self, operations: Mapping[str, Operation]) -> Self:
        return replace(self, summed={name: summed(Product.of(operation)) for name, operation in operations.items()})

    def after(self, operation: Operation, output: Tensor) -> tuple[Tensor, Tensor | None]:
        sums = self.summed[self.name_of(operation)]
        checked, failed_B = torch.ops.tgr.checksummed(output, *Product.of(operation), *sums, self.answer)
        return checked, failed_B if self.answer == "flag" else None

    def refuse(self, name: str, operation: Operation, output: Tensor) -> None:
        if operation.called in TRANSPOSED:
            raise TgrError(f'"{name}" is a transposed convolution, for which there is no checksum; leave it out')
        if output.dtype not in UNIT:
            raise TgrError(
                f'"{name}" computes in {output.dtype}, and the bound of rounding holds for float32 and float64; '
                "leave it out, or convert the model"
            )
        if operation.kind == "conv" and output.device.type != "cpu":
            raise TgrError(
                f'"{name}" is a convolution on {output.device.type}, whose kernels may exceed the bound of rounding; '
                "use --device cpu, or leave it out"
            )
        if self.answer == "flag" and len(output) != 1:
            raise TgrError(
                f'"{name}" gives {len(output)} rows for one image, so that no image can be flagged; use another answer'
            )
        Product.of(operation)

    def to_json(self) -> dict[str, Any]:
        return {"operations": list(self.names), "answer": self.answer}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        if stored["answer"] not in ANSWERS:
            raise ValueError(stored)
        return cls(stored_names(stored), stored["answer"])


def extra_macs(macs: int, channels: int, groups: int) -> int:
    """Return the multiply-accumulates of a check: two filters for each group of a product with this many."""
    return 2 * macs * groups // channels


def summed(product: Product) -> tuple[Tensor, Tensor]:
    """Return the filters of the checksum and of its bound [2, G, …], and their biases [2, G].

    The first are sums over the filters of a group, the second sums of their magnitudes.
    """
    weight, groups = product.weight.detach().double(), product.groups
    filters = weight.reshape(groups, -1, *weight.shape[1:])
    bias = weight.new_zeros(len(weight)) if product.bias is None else product.bias.detach().double()
    biases = bias.reshape(groups, -1)
    return (
        torch.stack([filters.sum(1), filters.abs().sum(1)]).to(product.weight.dtype),
        torch.stack([biases.sum(1), biases.abs().sum(1)]).to(product.weight.dtype),
    )


def checksummed(
    output: Tensor, product: Product, filters: Tensor, biases: Tensor, answer: str
) -> tuple[Tensor, Tensor]:
    """Return the product's `output` after the comparison, and the images in which it failed, bool [B].

    `filters` and `biases` are from `summed`. Sums that are not finite fail.
    """
    filters, biases = filters.to(output.device), biases.to(output.device)
    second = product._replace(weight=filters[0], bias=biases[0]).run().double()
    size = product._replace(x=product.x.abs(), weight=filters[1], bias=biases[1]).run().double()
    channel_axis = 1 if product.stride else output.ndim - 1
    channels = output.shape[channel_axis] // product.groups
    first = output.unflatten(channel_axis, (product.groups, channels)).sum(channel_axis + 1, dtype=torch.float64)
    products = product.weight[0].numel()
    difference = (first - second).abs()
    failed = ~(difference.isfinite() & (difference <= _bound(size, products, channels, UNIT[output.dtype])))
    failed_B = failed.flatten(1).any(dim=1)
    if answer == "flag" or not bool(failed_B.any()):
        return output.clone(), failed_B
    where = failed.repeat_interleave(channels, dim=channel_axis)
    if answer == "zero":
        return output.masked_fill(where, 0.0), failed_B
    mended = torch.where(where, product.run(), output)
    return torch.empty_like(output).copy_(mended), failed_B  # strides select kernels: keep the output's own


def _bound(size: Tensor, products: int, channels: int, unit: float) -> Tensor:
    """Return the most by which the two sums can differ without a fault.

    `size` is the computed A = Σ(Σ|w||x| + |b|) over `channels` channels of `products` products. The errors, in A:
    γ_{n+1} of the channels themselves; γ_{m+4} of summing m of them in float64, of at most (1 + γ_{n+1}) A, and of the
    comparison; u + γ_m of the summed filters, and γ_{n+1} of their product. The same two make A too small. Each product
    may lose what is below the smallest normal number.
    """
    gamma, gamma64 = _gamma(products + 1, unit), _gamma(channels + 4, UNIT[torch.float64])
    of_filters = unit + gamma64
    relative = gamma + gamma64 * (1 + gamma) + gamma * (1 + of_filters) + of_filters
    tiny = torch.finfo(torch.float32 if unit == UNIT[torch.float32] else torch.float64).tiny
    lost = (products + 1) * (channels + 3) * tiny
    return size * (relative / ((1 - gamma) * (1 - of_filters))) + lost


def _gamma(count: int, unit: float) -> float:
    """Return γ_k, the bound of the relative error of k roundings.

    >>> round(_gamma(577, 2.0**-24) * 1e6, 2)
    34.39
    """
    assert count * unit < 1
    return count * unit / (1 - count * unit)


@library.custom_op("tgr::checksummed", mutates_args=())
def _checksummed(
    output: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    filters: Tensor,
    biases: Tensor,
    answer: str,
) -> tuple[Tensor, Tensor]:
    product = Product(x, weight, bias, stride, padding, dilation, groups)
    return checksummed(output, product, filters, biases, answer)


@_checksummed.register_fake
def _(output: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(output), output.new_empty((output.shape[0],), dtype=torch.bool)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Store nothing for the gradient: it is that of the unchecked output."""


def _backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    return gradient, *[None] * 10


_checksummed.register_autograd(_backward, setup_context=_keep)
