"""Operators that take shapes, axes or bounds in numbers, which torch must know when it traces a network.

The others come from onnx2pytorch, which reads these from tensors.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tgr_cli.models.onnx_model.constants import integers

# Operators of onnx2pytorch that take numbers as well as tensors, other than their first input.
NUMBERS_ARE_GIVEN = ("Clip", "Dropout", "Pad", "Reshape", "Split", "Squeeze", "Tile", "Unsqueeze")
REDUCING: Mapping[str, Callable[..., Tensor]] = {
    "ReduceMean": torch.mean,
    "ReduceSum": torch.sum,
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
    "ReduceL2": torch.linalg.vector_norm,
}
OWN = ("Concat", "Expand", "Gather", "MatMul", "Slice", *REDUCING)


class Slice(nn.Module):
    """ONNX's Slice: along some axes, with steps that may be negative."""

    def __init__(self, starts: Any = None, ends: Any = None, axes: Any = None) -> None:
        super().__init__()
        self.given = (starts, ends, axes)

    def forward(self, x: Tensor, *inputs: np.ndarray | None) -> Tensor:
        """Return the part of `x`; the inputs are starts, ends, axes and steps, which older versions have as attributes.

        Source: ONNX's operator specification, Slice-1 to Slice-13.
        """
        starts, ends, axes, steps, *_ = (*map(integers, inputs or self.given), None, None)
        starts, ends = starts or [], ends or []
        axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            places = range(x.shape[axis])[slice(start, end, step)]
            ascending = places if step > 0 else places[::-1]
            part = slice(ascending.start, max(ascending.start, ascending.stop), ascending.step)
            x = x.movedim(axis, 0)[part].movedim(0, axis)
            x = x if step > 0 else x.flip(axis)
        return x


class Reduce(nn.Module):
    """A reduction over axes, which are an attribute or, since opset 13 and 18, an input."""

    def __init__(self, kind: str, axes: Sequence[int] | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0):
        super().__init__()
        self.kind, self.axes, self.keep, self.nothing = kind, axes, bool(keepdims), bool(noop_with_empty_axes)

    def forward(self, x: Tensor, axes: np.ndarray | None = None) -> Tensor:
        """Return `x` reduced over `axes`, or over all without any. Source: ONNX's operator specification."""
        over = integers(self.axes if axes is None else axes)
        if not over and self.nothing:
            return x
        return REDUCING[self.kind](x, dim=tuple(over or range(x.ndim)), keepdim=self.keep)


class Product(nn.Module):
    """ONNX's MatMul of two computed values, or of stored ones that are no layer's weight."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the matrix product, with NumPy's rules."""
        return torch.matmul(left, right)


class Concat(nn.Module):
    """ONNX's Concat: values joined along an axis."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *parts: Tensor) -> Tensor:
        """Return the values one after another along the axis."""
        return torch.cat(parts, dim=self.axis)


class Expand(nn.Module):
    """ONNX's Expand: a value repeated along axes of size 1."""

    def forward(self, x: Tensor, shape: np.ndarray) -> Tensor:
        """Return `x` broadcast together with `shape`, whose axes of size 1 keep the size that `x` has."""
        return x.expand(torch.broadcast_shapes(tuple(x.shape), tuple(integers(shape) or ())))


class Gather(nn.Module):
    """ONNX's Gather: entries of an axis, whose place is taken by the axes of the indices."""

    def __init__(self, axis: int = 0) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor, indices: np.ndarray) -> Tensor:
        """Return the entries; negative indices count from the end."""
        axis = self.axis % x.ndim
        places = torch.tensor([index % x.shape[axis] for index in integers(indices.reshape(-1)) or ()], device=x.device)
        found = x.index_select(axis, places.long())
        return found.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def own(kind: str, attributes: Mapping[str, Any]) -> nn.Module:
    """Return the module of one of `OWN`."""
    return Reduce(kind, **attributes) if kind in REDUCING else CLASSES[kind](**attributes)


CLASSES: Mapping[str, type[nn.Module]] = {
    "Concat": Concat,
    "Expand": Expand,
    "Gather": Gather,
    "MatMul": Product,
    "Slice": Slice,
}
