"""Faults during propagation: how each node's value has changed, and the golden values that rules need with it.

Suffixes: K faults, C channels, h w height and width of the window.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults.engines.golden_values import GoldenValues
from tgr_cli.faults.engines.reach import Place
from tgr_cli.faults.engines.windows import Window, read_window
from tgr_cli.faults.operation_names import BATCH_NORM, POINTWISE, name_of


@dataclass
class Batch:
    """K faults during propagation: their images, and the change of each node's value."""

    golden: GoldenValues
    rows_K: Tensor
    changes: dict[Node, Window]

    def values(self, node: Any, window: Window, place: Place | None = None) -> Tensor | None:
        """Return the golden values of `node` at the window, or at `place` in the same map, [K, C, h, w].

        None if they are not kept and no rule computes them from kept values.
        """
        place = place or Place(window.top_K, window.left_K, *window.size)
        if node in self.golden.kept:
            maps = self.golden.maps(node)
            if maps is None:
                return None
            return read_window(maps, self.rows_K, window, place.top_K, place.left_K, (place.height, place.width))
        if name_of(node) == "getitem" and name_of(node.args[0]) == BATCH_NORM:
            inner = node.args[0]
            values, (scale, shift) = self.values(inner.args[0], window, place), scale_and_shift(self, inner, window)
            return None if values is None else values.mul_(scale).add_(shift)
        if elementwise(node) and node.args[0] in self.golden.dependent:
            values = self.values(node.args[0], window, place)
            return None if values is None else node.target(values, *node.args[1:], **node.kwargs)
        return None


def elementwise(node: Any) -> bool:
    """Return whether a node is an elementwise function of one tensor; a clamp, say, may have tensors as bounds."""
    return name_of(node) in POINTWISE and node.all_input_nodes == [node.args[0]]


def scale_and_shift(batch: Batch, node: Any, window: Window) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a batch norm per channel, as [1 or K, C or 1, 1, 1]."""
    weight, bias = (None if arg is None else batch.golden.fixed[arg] for arg in node.args[1:3])
    mean, var = (batch.golden.fixed[arg] for arg in node.args[3:5])
    scale_C = (var + node.args[6]).rsqrt()
    scale_C = scale_C if weight is None else scale_C * weight
    shift_C = -mean * scale_C if bias is None else bias - mean * scale_C
    return _channels(scale_C, window), _channels(shift_C, window)


def _channels(values_C: Tensor, window: Window) -> Tensor:
    if window.channel_K is None:
        return values_C.view(1, -1, 1, 1)
    return values_C[window.channel_K].view(-1, 1, 1, 1)
