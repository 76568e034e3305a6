"""Fits scales of a number format to values: one for a tensor, one a channel, or one a block of neighbours.

All return scales that broadcast with the values, or None for a format without a scale.

Suffixes: R rows, N values of a row.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tgr_cli.faults.formats import Format, Scale


def of_tensor(form: Format, values: Tensor) -> Scale | None:
    """Return one scale for all values."""
    return form.fit(*torch.aminmax(values))


def of_rows(form: Format, values_RN: Tensor) -> Scale | None:
    """Return one scale a row, [R, 1]."""
    low_R, high_R = torch.aminmax(values_RN, dim=1)
    return mapped(form.fit(low_R, high_R), lambda step_R: step_R[:, None])


def of_channels(form: Format, values: Tensor, axis: int) -> Scale | None:
    """Return one scale a channel; `axis` is that of the channels."""
    shape = [1] * values.ndim
    shape[axis] = values.shape[axis]
    scale = of_rows(form, values.movedim(axis, 0).reshape(values.shape[axis], -1))
    return mapped(scale, lambda step_R1: step_R1.reshape(shape))


def of_blocks(form: Format, values: Tensor, axis: int) -> Scale | None:
    """Return one scale for each `form.block` neighbours along `axis`, in the shape of the values.

    What is left at the end of the axis is a smaller block.
    """
    size, along = form.block, values.movedim(axis, -1)
    length = along.shape[-1]
    missing = -length % size
    if missing:  # repeating a value of the last block leaves its range as it is
        along = torch.cat([along, along[..., -1:].expand(*along.shape[:-1], missing)], dim=-1)
    low, high = torch.aminmax(along.unflatten(-1, (-1, size)), dim=-1)
    scale = form.fit(low, high)
    return mapped(scale, lambda step: step.repeat_interleave(size, dim=-1)[..., :length].movedim(-1, axis))


def of_weight(form: Format, weight: Tensor, axis: int) -> Scale | None:
    """Return the scale of a stored weight; `axis` is that of the layer's outputs.

    Blocks are neighbours among the values that one output sums over, in memory order: channels, then the kernel.
    """
    if not form.shared:
        return None
    if form.shared == "tensor" or not weight.ndim:
        return of_tensor(form, weight)
    if form.shared == "channel":
        return of_channels(form, weight, axis)
    outputs_first = weight.movedim(axis, 0)
    rows_RN = outputs_first.reshape(len(outputs_first) if weight.ndim > 1 else 1, -1)
    scale = of_blocks(form, rows_RN, axis=1)
    return mapped(scale, lambda step_RN: step_RN.reshape(outputs_first.shape).movedim(0, axis))


def at(scale: Scale | None, shape: tuple[int, ...], elements_F: Tensor) -> Scale | None:
    """Return the scale of single elements, at flat indices into values of `shape`; a single scale as it is."""
    if scale is None:
        return None
    if scale.step.numel() == 1:
        return mapped(scale, lambda step: step.reshape(()))
    places = torch.unravel_index(elements_F.to(scale.step.device), shape)
    return mapped(scale, lambda step: step.expand(shape)[places])


def mapped(scale: Scale | None, function: Callable[[Tensor], Tensor]) -> Scale | None:
    """Return the scale with `function` applied to its step and, if it has one, its zero."""
    if scale is None:
        return None
    return Scale(function(scale.step), None if scale.zero is None else function(scale.zero))
