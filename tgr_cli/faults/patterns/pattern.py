"""The interface of patterns: which elements of a site a fault strikes.

Suffixes: K faults, P elements of a fault.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from tgr_cli.faults.fault_models.fault_model import Piece
from tgr_cli.faults.patterns.layout import Layout


class Pattern(ABC):
    """The elements that a fault strikes: the anchor that was drawn, and those that go with it.

    A pattern may leave a choice, such as which elements are scattered: its numbered `footprints`. A footprint and an
    anchor describe the elements fully, so that a stored fault can be run again.
    """

    name: str

    def footprints(self, op: str) -> tuple[Piece, ...]:
        """Return the footprints at sites of this operation in order, in groups of equally likely ones.

        Their probabilities add up to 1.
        """
        del op
        return (Piece(1, 1.0),)

    def check(self, ops: set[str]) -> None:
        """Raise TgrError if the pattern is not described for one of these operations."""
        del ops

    @abstractmethod
    def elements(self, op: str, layout: Layout, anchors_K: Tensor, footprints_K: Tensor) -> Tensor:
        """Return the flat indices of each fault's elements, int64 [K, P], distinct, the anchor first; -1 pads."""

    def count(self, op: str) -> int:
        """Return the number of footprints at sites of this operation."""
        return sum(piece.count for piece in self.footprints(op))


def anchor_first(anchors_K: Tensor, elements_KP: Tensor) -> Tensor:
    """Return elements with the anchor before them, [K, 1 + P]; where it is among them, -1 stands in its place."""
    return torch.cat((anchors_K[:, None], elements_KP.masked_fill(elements_KP == anchors_K[:, None], -1)), dim=1)
