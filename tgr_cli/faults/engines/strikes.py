"""Where faults begin: how far the elements of each reach, and their changes as windows of a map.

Suffixes: F faults, K faults of one batch, P elements of a fault, C channels, h w height and width of the window.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.faults.engines.golden_values import unflattened
from tgr_cli.faults.engines.windows import Window

LARGEST_SHARE = 0.5  # of the map or the tokens; following a change that reaches further saves too little


@dataclass(frozen=True)
class Extent:
    """How far the elements of each fault reach, as numbers by which alike ones are grouped, [F, n]; `unit` bytes each.

    `small_F` says which are worth following.
    """

    reach_Fn: Tensor
    small_F: Tensor
    unit: int

    @classmethod
    def single(cls, elements_F1: Tensor, unit: int) -> "Extent":
        """Return the extent of faults in single elements."""
        return cls(torch.ones_like(elements_F1), torch.ones_like(elements_F1[:, 0], dtype=torch.bool), unit)

    def alike(self) -> Iterator[Tensor]:
        """Give the masks, bool [F], of groups of faults that reach equally far."""
        if (self.reach_Fn == self.reach_Fn[:1]).all():
            yield torch.ones_like(self.small_F)
            return
        for reach_n in self.reach_Fn.unique(dim=0):
            yield (self.reach_Fn == reach_n).all(dim=1)

    def bytes(self, alike_F: Tensor) -> int:
        """Return the memory that the change of one fault of a group takes."""
        return int(self.reach_Fn[alike_F][0].prod()) * self.unit


def extent_of(elements_FP: Tensor, shape: tuple[int, ...]) -> Extent:
    """Return the extent on a map: height and width of the bounding window, and its channels, one or all."""
    channels, height, width = _bounds(shape)
    if elements_FP.shape[1] == 1:
        return Extent.single(elements_FP, unit=4)
    *_, height_F, width_F, several_F = _box(elements_FP, shape)
    small_F = height_F * width_F <= max(1, LARGEST_SHARE * height * width)
    channels_F = torch.where(several_F, channels, 1)
    return Extent(torch.stack((height_F, width_F, channels_F), dim=1), small_F, unit=4)


def window_of(elements_KP: Tensor, delta_KP: Tensor, shape: tuple[int, ...]) -> Window:
    """Return the change of a map's elements as windows of one size, with a single channel if each fault has one."""
    bounds = _bounds(shape)
    y_KP, x_KP, channel_KP = unflattened(elements_KP.clamp_min(0), shape)
    if elements_KP.shape[1] == 1:
        return Window(delta_KP[:, :, None, None], y_KP[:, 0], x_KP[:, 0], bounds, channel_KP[:, 0])
    top_K, left_K, height_K, width_K, several_K = _box(elements_KP, shape)
    height, width, alone = int(height_K.max()), int(width_K.max()), not several_K.any()
    delta = delta_KP.new_zeros((len(elements_KP), height, width, 1 if alone else bounds[0]))
    faults, places = (elements_KP >= 0).nonzero(as_tuple=True)
    channel = torch.zeros_like(faults) if alone else channel_KP[faults, places]
    y, x = y_KP[faults, places] - top_K[faults], x_KP[faults, places] - left_K[faults]
    delta[faults, y, x, channel] = delta_KP[faults, places]
    return Window(delta.permute(0, 3, 1, 2), top_K, left_K, bounds, channel_KP[:, 0] if alone else None)


def _bounds(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return channels, height and width of a map; a vector is a 1 × 1 map."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)


def _box(elements_FP: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return top, left, height and width of each fault's elements, and whether they lie in several channels."""
    elements_FP = torch.where(elements_FP < 0, elements_FP[:, :1], elements_FP)
    y_FP, x_FP, channel_FP = unflattened(elements_FP, shape)
    top_F, left_F = y_FP.amin(dim=1), x_FP.amin(dim=1)
    height_F, width_F = y_FP.amax(dim=1) - top_F + 1, x_FP.amax(dim=1) - left_F + 1
    return top_F, left_F, height_F, width_F, (channel_FP != channel_FP[:, :1]).any(dim=1)
