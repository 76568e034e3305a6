"""Patterns with probabilities for each operation, as fault simulators of accelerators measure them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.fault_models.fault_model import Piece
from tgr_cli.faults.patterns.layout import Layout
from tgr_cli.faults.patterns.pattern import Pattern

Likely = tuple[float, Pattern]
OF_A_FILE = "patterns of "  # how their names begin


@dataclass(frozen=True)
class ByOperation(Pattern):
    """Draws one of an operation's patterns by its probability; footprints are numbered pattern after pattern."""

    name: str
    origin: str
    patterns: Mapping[str, tuple[Likely, ...]]

    def check(self, ops: set[str]) -> None:
        if missing := sorted(ops - self.patterns.keys()):
            raise TgrError(
                f"{self.origin} has no patterns for {' and '.join(missing)}, where the campaign strikes, but for "
                f"{' and '.join(self.patterns)}; add them, or leave them out with --targets"
            )

    def footprints(self, op: str) -> tuple[Piece, ...]:
        return tuple(
            Piece(piece.count, probability * piece.probability)
            for probability, pattern in self.patterns[op]
            for piece in pattern.footprints(op)
        )

    def elements(self, op: str, layout: Layout, anchors_K: Tensor, footprints_K: Tensor) -> Tensor:
        counts = [pattern.count(op) for _, pattern in self.patterns[op]]
        starts = torch.from_numpy(np.cumsum([0, *counts[:-1]])).to(footprints_K.device)
        drawn_K = torch.searchsorted(starts, footprints_K, right=True) - 1
        found = []
        for number in drawn_K.unique().tolist():
            own = (drawn_K == number).nonzero().flatten()
            pattern = self.patterns[op][number][1]
            found.append((own, pattern.elements(op, layout, anchors_K[own], footprints_K[own] - starts[number])))
        widest = max((elements.shape[1] for _, elements in found), default=1)
        whole_KP = anchors_K.new_full((len(anchors_K), widest), -1)
        for own, elements in found:
            whole_KP[own, : elements.shape[1]] = elements
        return whole_KP
