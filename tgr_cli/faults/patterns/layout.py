"""The layout of a site's values: where the neighbours of an element lie, by flat index.

Suffixes: K faults, O offsets, P elements.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

Offset = tuple[int, int, int]


@dataclass(frozen=True)
class Layout:
    """The shape of one image's share of a site's output, or of a tensor, and what its axes are.

    Rows and columns are those of a `plane`, which has an axis of its height and one of its width: the map of a channel,
    or the last two axes of any other value, such as tokens × features. Planes follow one another along `depth`. Each is
    None where the value has no such axis. The elements of one channel differ in the axes `channel` alone.
    """

    shape: tuple[int, ...]
    channel: tuple[int, ...]
    depth: int | None
    height: int | None
    width: int | None

    @classmethod
    def of_output(cls, shape: tuple[int, ...], channel_axis: int) -> "Layout":
        """Return the layout of an output; `channel_axis` is counted from the end, -1 where channels come last."""
        axes = len(shape)
        if channel_axis == -1:
            return cls._of(shape, tuple(range(axes - 1)), first=0)
        first = axes + channel_axis + 1
        return cls._of(shape, tuple(range(first, axes)), first)

    @classmethod
    def of_tensor(cls, shape: tuple[int, ...], output_axis: int) -> "Layout":
        """Return the layout of a tensor, whose channels are its layer's outputs."""
        return cls._of(shape, tuple(axis for axis in range(len(shape)) if axis != output_axis), first=0)

    @classmethod
    def _of(cls, shape: tuple[int, ...], channel: tuple[int, ...], first: int) -> "Layout":
        """Return the layout whose planes have the last two axes from `first` on."""
        last = len(shape) - 1
        width = last if last >= first else None
        height = last - 1 if last - 1 >= first else None
        lowest = min((axis for axis in (height, width) if axis is not None), default=0)
        return cls(shape, channel, lowest - 1 if lowest > 0 else None, height, width)

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)

    def stride(self, axis: int) -> int:
        """Return how far two neighbours along an axis are apart in flat indices."""
        return math.prod(self.shape[axis + 1 :])

    def index(self, elements: Tensor, axis: int) -> Tensor:
        """Return the index of flat elements along an axis."""
        return elements // self.stride(axis) % self.shape[axis]

    def along(self, anchors_K: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Return all elements that differ from each anchor in these axes alone, [K, P]."""
        first_K, steps_P = anchors_K.clone(), torch.zeros(1, dtype=torch.int64, device=anchors_K.device)
        for axis in axes:
            first_K -= self.index(anchors_K, axis) * self.stride(axis)
            own = torch.arange(self.shape[axis], device=anchors_K.device) * self.stride(axis)
            steps_P = (steps_P[:, None] + own).flatten()
        return first_K[:, None] + steps_P

    def shifted(self, anchors_K: Tensor, offsets: tuple[Offset, ...]) -> Tensor:
        """Return the elements at offsets (planes, rows, columns) from each anchor, [K, O]; -1 beyond an edge."""
        offsets_O3 = torch.tensor(offsets, dtype=torch.int64, device=anchors_K.device).reshape(-1, 3)
        found_KO = anchors_K[:, None].repeat(1, len(offsets))
        inside_KO = torch.ones_like(found_KO, dtype=torch.bool)
        for place, axis in enumerate((self.depth, self.height, self.width)):
            step_O = offsets_O3[:, place]
            if axis is None:
                inside_KO &= step_O == 0
                continue
            moved_KO = self.index(anchors_K, axis)[:, None] + step_O
            inside_KO &= (moved_KO >= 0) & (moved_KO < self.shape[axis])
            found_KO += step_O * self.stride(axis)
        return found_KO.masked_fill(~inside_KO, -1)
