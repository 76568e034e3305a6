"""Channels: all that one filter or one output feature computes."""

from dataclasses import dataclass

from torch import Tensor

from tgr_cli.faults.patterns.layout import Layout
from tgr_cli.faults.patterns.pattern import Pattern, anchor_first


@dataclass(frozen=True)
class Channel(Pattern):
    """Strikes the anchor's whole feature map; where channels come last, its feature at all positions.

    Of a weight, all that one output of the layer reads.
    """

    name: str = "channel"

    def elements(self, op: str, layout: Layout, anchors_K: Tensor, footprints_K: Tensor) -> Tensor:
        return anchor_first(anchors_K, layout.along(anchors_K, layout.channel))
