"""The single element: the fault of a memory cell or of one multiply-accumulate unit."""

from dataclasses import dataclass

from torch import Tensor

from tgr_cli.faults.patterns.layout import Layout
from tgr_cli.faults.patterns.pattern import Pattern


@dataclass(frozen=True)
class Element(Pattern):
    """Strikes the anchor alone."""

    name: str = "element"

    def elements(self, op: str, layout: Layout, anchors_K: Tensor, footprints_K: Tensor) -> Tensor:
        return anchors_K[:, None]
