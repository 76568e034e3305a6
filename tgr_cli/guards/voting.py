"""Triple modular redundancy: a layer is computed three times, and every bit of its output is what two of them say.

J. von Neumann, Probabilistic Logics and the Synthesis of Reliable Organisms from Unreliable Components, 1956; R. E.
Lyons and W. Vanderkulk, The Use of Triple-Modular Redundancy to Improve Computer Reliability, IBM Journal 6(2), 1962.
Meant for the last layer, whose faults reach a logit undamped and whose work is small. All three read the same weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, library

from tgr_cli.errors import TgrError
from tgr_cli.guards.codes import words
from tgr_cli.guards.guard import OperationGuard, stored_names
from tgr_cli.guards.operations import TRANSPOSED, WEIGHTED, Operation
from tgr_cli.guards.products import Product


@dataclass(frozen=True)
class Voting(OperationGuard):
    """The operations that are computed three times, by name."""

    names: tuple[str, ...]

    technique: ClassVar[str] = "voting"
    kinds: ClassVar[tuple[str, ...]] = WEIGHTED

    @property
    def operations(self) -> Mapping[str, None]:
        return dict.fromkeys(self.names)

    @property
    def summary(self) -> str:
        return f"three computations of {', '.join(self.names)}, voted"

    def after(self, operation: Operation, output: Tensor) -> tuple[Tensor, Tensor | None]:
        return torch.ops.tgr.voted(output, *Product.of(operation)), None

    def refuse(self, name: str, operation: Operation, output: Tensor) -> None:
        if operation.called in TRANSPOSED:
            raise TgrError(f'"{name}" is a transposed convolution, which guards do not compute; leave it out')
        Product.of(operation)

    def to_json(self) -> dict[str, Any]:
        return {"operations": list(self.names)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(stored_names(stored))


def extra_macs(macs: int) -> int:
    """Return the multiply-accumulates of the second and the third computation of a product with this many."""
    return 2 * macs


def voted(output: Tensor, *product: Any, rounding: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Return the majority of the product's `output` and two more computations of it, bit by bit.

    `rounding` is what was applied to `output` where the network is emulated in a number format.
    """
    others = [Product(*product).run() for _ in range(2)]
    second, third = (words(other if rounding is None else rounding(other)) for other in others)
    first = words(output)
    majority = (first & second) | (first & third) | (second & third)
    return torch.empty_like(output).copy_(majority.view(output.dtype))


@library.custom_op("tgr::voted", mutates_args=())
def _voted(
    output: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    return voted(output, x, weight, bias, stride, padding, dilation, groups)


@_voted.register_fake
def _(output: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(output)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Store nothing for the gradient: it is that of the first computation."""


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return gradient, *[None] * 7


_voted.register_autograd(_backward, setup_context=_keep)
