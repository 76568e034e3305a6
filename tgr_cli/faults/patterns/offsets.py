"""Elements at given distances from the anchor: blocks, and what a fault simulator of an accelerator lists."""

from dataclasses import dataclass

from torch import Tensor

from tgr_cli.faults.patterns.layout import Layout, Offset
from tgr_cli.faults.patterns.pattern import Pattern, anchor_first


@dataclass(frozen=True)
class Offsets(Pattern):
    """Strikes the anchor and the elements at `offsets` from it: so many planes, rows and columns further.

    A plane is the map of a channel, or a matrix of the last two axes. What lies beyond an edge is left out.
    """

    name: str
    offsets: tuple[Offset, ...]

    def elements(self, op: str, layout: Layout, anchors_K: Tensor, footprints_K: Tensor) -> Tensor:
        return anchor_first(anchors_K, layout.shifted(anchors_K, self.offsets))


def block(name: str, height: int, width: int) -> Offsets:
    """Return the pattern of a block of neighbours within a plane, of which the anchor is the first.

    >>> block("block", height=1, width=3).offsets
    ((0, 0, 0), (0, 0, 1), (0, 0, 2))
    """
    return Offsets(name, tuple((0, row, column) for row in range(height) for column in range(width)))
