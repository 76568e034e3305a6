"""Which values of a site share a scale.

Suffixes: R rows, L length of a row, N elements, G groups, S elements of a group.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tgr_cli.faults.formats import Format, Scale


@dataclass(frozen=True)
class ScaleGroups:
    """The groups of a site's elements that share a scale: `size` neighbours in a row of `grid_RL`, which has them all.

    A row's last group may be smaller.
    """

    grid_RL: Tensor
    size: int

    @classmethod
    def of_output(cls, form: Format, shape: tuple[int, ...], channel_axis: int) -> "ScaleGroups":
        """Return the groups of one image's share of an output: blocks lie along the channels' axis."""
        elements = _numbered(shape)
        if form.shared == "block":
            along = elements.movedim(channel_axis, -1)
            return cls(along.reshape(-1, along.shape[-1]), form.block)
        assert form.shared == "tensor", form.shared
        return cls(elements.reshape(1, -1), max(1, elements.numel()))

    @classmethod
    def of_tensor(cls, form: Format, shape: tuple[int, ...], output_axis: int) -> "ScaleGroups":
        """Return the groups of a tensor: blocks lie along the values that one output of its layer reads."""
        elements = _numbered(shape)
        if form.shared == "tensor" or not shape:
            return cls(elements.reshape(1, -1), max(1, elements.numel()))
        rows_RL = elements.movedim(output_axis, 0).reshape(shape[output_axis], -1)
        if form.shared == "channel":
            return cls(rows_RL, rows_RL.shape[1])
        return cls(rows_RL if len(shape) > 1 else rows_RL.reshape(1, -1), form.block)

    @property
    def count(self) -> int:
        """Return the number of groups."""
        return len(self.grid_RL) * self._in_row

    @property
    def _in_row(self) -> int:
        return -(-self.grid_RL.shape[1] // self.size)

    @cached_property
    def _ranks(self) -> Tensor:
        """Return the place of each element in the grid."""
        rank_N = torch.empty(self.grid_RL.numel(), dtype=torch.int64)
        rank_N[self.grid_RL.flatten()] = torch.arange(len(rank_N))
        return rank_N

    def first(self, groups_G: Tensor) -> Tensor:
        """Return the first element of each group, by the group's number."""
        return self.grid_RL[groups_G // self._in_row, groups_G % self._in_row * self.size]

    def members(self, elements: Tensor) -> Tensor:
        """Return the elements of each element's group, [..., S]; -1 pads."""
        grid_RL, rank_N = (numbers.to(elements.device) for numbers in (self.grid_RL, self._ranks))
        length = grid_RL.shape[1]
        row, column = rank_N[elements] // length, rank_N[elements] % length
        columns = (column // self.size * self.size)[..., None] + torch.arange(self.size, device=elements.device)
        found = grid_RL[row[..., None], columns.clamp_max(length - 1)]
        return found.masked_fill(columns >= length, -1)

    def fitted(self, form: Format, elements: Tensor, read: Callable[[Tensor], Tensor]) -> Scale | None:
        """Return the scale of each element, fitted to the fault-free values of its group that `read` gives."""
        members = self.members(elements)
        values = read(members.clamp_min(0))
        low, high = torch.aminmax(torch.where(members < 0, values[..., :1], values), dim=-1)
        return form.fit(low, high)


@dataclass(frozen=True)
class FaultFree:
    """The fault-free values beside struck elements: `read` gives those at flat elements of a site with `groups`.

    Elements [..., S] belong to the images of the struck elements [...].
    """

    groups: ScaleGroups
    read: Callable[[Tensor], Tensor]


def _numbered(shape: tuple[int, ...]) -> Tensor:
    return torch.arange(torch.Size(shape).numel()).reshape(shape)
