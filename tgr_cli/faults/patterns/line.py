"""Lines: all elements of the anchor's row or column, as one row or column of an accelerator's array computes them."""

from dataclasses import dataclass

from torch import Tensor

from tgr_cli.faults.patterns.layout import Layout
from tgr_cli.faults.patterns.pattern import Pattern, anchor_first


@dataclass(frozen=True)
class Row(Pattern):
    """Strikes the anchor's row of its channel's map; of other values the last axis: a token, or a whole vector."""

    name: str = "row"

    def elements(self, op: str, layout: Layout, anchors_K: Tensor, footprints_K: Tensor) -> Tensor:
        return _line(layout, anchors_K, layout.width)


@dataclass(frozen=True)
class Column(Pattern):
    """Strikes the anchor's column of its channel's map; of other values the last axis but one: a feature of tokens."""

    name: str = "column"

    def elements(self, op: str, layout: Layout, anchors_K: Tensor, footprints_K: Tensor) -> Tensor:
        return _line(layout, anchors_K, layout.height)


def _line(layout: Layout, anchors_K: Tensor, axis: int | None) -> Tensor:
    return anchors_K[:, None] if axis is None else anchor_first(anchors_K, layout.along(anchors_K, (axis,)))
