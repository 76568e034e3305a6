"""Duplication: chosen channels of a convolution are computed twice, and compared bit by bit.

ISSRE 2021, section V-A, calls it feature-map level resilience (FLR). The second computation is the same convolution
with the chosen filters alone. Kernels may add up the products in another order for another number of filters;
where they do, the second computation is widened until its bits are those of the first: to blocks of 16 filters, and
then to the whole layer. So a comparison fails for no other reason than a fault.

Suffixes: B batch, C channels in, O channels out, K chosen channels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, library

from tgr_cli.errors import TgrError
from tgr_cli.guards.guard import ANSWERS, Answer, OperationGuard, whole_number
from tgr_cli.guards.operations import CONVOLUTIONS, Operation
from tgr_cli.guards.products import CONVOLVE, Product

PROBED = 1024  # values compared before another number of filters counts as exact
BLOCK = 16  # filters that a vectorised kernel computes together
BITS = {8: torch.int64, 4: torch.int32, 2: torch.int16}
Rounding = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Duplication(OperationGuard):
    """Channels that are computed twice, by the name of the convolution; `answer` is what a difference leads to.

    `rerun` computes the convolution again, and takes the result where the two differ; `zero` sets the channels in which
    they differ to 0, for that image; `flag` gives the image NaN for all logits.
    """

    channels: Mapping[str, tuple[int, ...]]
    answer: Answer = "rerun"

    technique: ClassVar[str] = "duplication"
    kinds: ClassVar[tuple[str, ...]] = ("conv",)

    @property
    def operations(self) -> Mapping[str, tuple[int, ...]]:
        return self.channels

    @property
    def summary(self) -> str:
        return f"duplication of {sum(map(len, self.channels.values())):,} channels, {self.answer}"

    def after(self, operation: Operation, output: Tensor) -> tuple[Tensor, Tensor | None]:
        channels = list(self.channels[self.name_of(operation)])
        checked, failed_B = torch.ops.tgr.duplicated(output, *Product.of(operation), channels, self.answer)
        return checked, failed_B if self.answer == "flag" else None

    def refuse(self, name: str, operation: Operation, output: Tensor) -> None:
        if operation.called not in CONVOLUTIONS:
            raise TgrError(f'"{name}" is a transposed convolution, whose channels cannot be duplicated; leave it out')
        Product.of(operation)
        count = output.shape[1]
        if output.ndim < operation.argument(1, "weight").ndim:
            raise TgrError(f'"{name}" is given an image without a batch, which cannot be duplicated; leave it out')
        if self.answer == "flag" and len(output) != 1:
            raise TgrError(
                f'"{name}" gives {len(output)} rows for one image, so that no image can be flagged; use another '
                "answer, or leave it out"
            )
        if self.channels[name][-1] >= count:
            raise TgrError(
                f'"{name}" has {count} channels, and channel {self.channels[name][-1]} is to be duplicated; protect '
                'this model anew with "tgr guard"'
            )

    def to_json(self) -> dict[str, Any]:
        return {"channels": {name: list(chosen) for name, chosen in self.channels.items()}, "answer": self.answer}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        own = stored["channels"].items()
        channels = {name: tuple(sorted({whole_number(one) for one in chosen})) for name, chosen in own}
        if stored["answer"] not in ANSWERS or not channels or not all(channels.values()):
            raise ValueError(stored)
        return cls(channels, stored["answer"])


def duplicated(
    output: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    channels: Sequence[int],
    answer: str,
    rounding: Rounding | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the convolution's `output` [B, O, …] after the comparison, and the images in which it failed, bool [B].

    `rounding` is what was applied to `output`, elementwise, where the network is emulated in a number format.
    """
    convolution = _Convolution(x, weight, bias, tuple(stride), tuple(padding), tuple(dilation), groups)
    chosen = torch.tensor(channels, device=output.device)
    second = convolution.of(channels)
    second = second if rounding is None else rounding(second)
    differ_BK = (_bits(output.index_select(1, chosen)) != _bits(second)).flatten(2)
    failed_B = differ_BK.flatten(1).any(dim=1)
    if answer == "flag" or not bool(failed_B.any()):
        return output.clone(), failed_B
    if answer == "zero":
        kept = torch.ones(output.shape[:2], dtype=torch.bool, device=output.device)
        kept[:, chosen] = ~differ_BK.any(dim=2)
        return output.masked_fill(~kept.reshape(*kept.shape, *[1] * (output.ndim - 2)), 0.0), failed_B
    third = convolution.of(channels)
    return output.index_copy(1, chosen, third if rounding is None else rounding(third)), failed_B


@dataclass(frozen=True)
class _Convolution:
    """A convolution whose channels can be computed apart from one another."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def of(self, channels: Sequence[int]) -> Tensor:
        """Return some channels of the output, bitwise as the whole convolution gives them."""
        count = self.weight.shape[0]
        geometry = (self.stride, self.padding, self.dilation, self.groups)
        key = (*map(_layout, (self.x, self.weight)), geometry, tuple(channels), torch.get_num_threads())
        wider = [tuple(channels), _blocks(channels, count), tuple(range(count))]
        if key not in _EXACT:
            _EXACT[key] = next(each for each in wider if self._agrees(each, channels))
        return self._within(_EXACT[key], channels)

    def _agrees(self, computed: Sequence[int], channels: Sequence[int]) -> bool:
        """Return whether the bits are those of the whole convolution, on random inputs: zeros would always agree."""
        every = tuple(range(self.weight.shape[0]))
        if tuple(computed) == every:
            return True
        generator = torch.Generator().manual_seed(0)
        weight = _random(self.weight, generator)
        compared = 0
        while compared < PROBED:
            drawn = replace(self, x=_random(self.x, generator), weight=weight)
            own, whole = drawn._within(computed, channels), drawn._within(every, channels)
            if not torch.equal(_bits(own), _bits(whole)):
                return False
            compared += max(own.numel(), 1)
        return True

    def _within(self, computed: Sequence[int], channels: Sequence[int]) -> Tensor:
        value = self.alone(computed)
        if tuple(computed) == tuple(channels):
            return value
        places = {channel: place for place, channel in enumerate(computed)}
        return value.index_select(1, self._positions([places[channel] for channel in channels]))

    def _positions(self, channels: Sequence[int]) -> Tensor:
        return torch.tensor(channels, device=self.x.device)

    def alone(self, channels: Sequence[int]) -> Tensor:
        """Return the convolution with these filters alone.

        Of each group that they are in, as many filters are computed as of the group with the most of them.
        """
        convolve = CONVOLVE[self.x.ndim - 2]
        count = self.weight.shape[0]
        if len(channels) == count:
            return convolve(self.x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        size_out, size_in = count // self.groups, self.weight.shape[1]
        by_group: dict[int, list[int]] = {}
        for channel in channels:
            by_group.setdefault(channel // size_out, []).append(channel)
        most = max(map(len, by_group.values()))
        filters = [c for own in by_group.values() for c in (own + own[-1:] * most)[:most]]
        x = self.x
        if len(by_group) < self.groups:
            x = x.index_select(1, self._positions([g * size_in + i for g in by_group for i in range(size_in)]))
        at = self._positions(filters)
        bias = None if self.bias is None else self.bias.index_select(0, at)
        value = convolve(
            x, self.weight.index_select(0, at), bias, self.stride, self.padding, self.dilation, len(by_group)
        )
        if len(filters) == len(channels):
            return value
        places = {channel: filters.index(channel) for channel in channels}
        return value.index_select(1, self._positions([places[channel] for channel in channels]))


_EXACT: dict[Any, tuple[int, ...]] = {}  # which filters to compute, for the bits of the whole convolution


def _random(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return a tensor with the shape, the layout in memory and the type of another one, and normal values.

    They have as many bits as the type holds: of fewer, products and sums would be exact in any order.
    """
    drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=like.device).copy_(drawn)


def _layout(value: Tensor) -> tuple[Any, ...]:
    return tuple(value.shape), value.stride(), value.dtype, value.device


def _blocks(channels: Sequence[int], count: int) -> tuple[int, ...]:
    """Return the channels of all blocks of 16 that hold one of these."""
    blocks = {channel // BLOCK for channel in channels}
    return tuple(channel for channel in range(count) if channel // BLOCK in blocks)


def _bits(value: Tensor) -> Tensor:
    """Return the values as integers of the same bits, which differ wherever any bit does."""
    return value.detach().contiguous().view(BITS[value.element_size()])


@library.custom_op("tgr::duplicated", mutates_args=())
def _duplicated(
    output: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    channels: list[int],
    answer: str,
) -> tuple[Tensor, Tensor]:
    return duplicated(output, x, weight, bias, stride, padding, dilation, groups, channels, answer)


@_duplicated.register_fake
def _(output: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(output), output.new_empty((output.shape[0],), dtype=torch.bool)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Store nothing for the gradient: it is that of the unchecked output."""


def _backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    return gradient, *[None] * 9


_duplicated.register_autograd(_backward, setup_context=_keep)
