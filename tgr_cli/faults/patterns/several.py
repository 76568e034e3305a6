"""Several faults in one inference: elements anywhere at a site."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli import seeding
from tgr_cli.faults.fault_models.fault_model import Piece
from tgr_cli.faults.patterns.layout import Layout
from tgr_cli.faults.patterns.pattern import Pattern

FOOTPRINTS = 2**32  # as many sets of elements can be drawn for an anchor


@dataclass(frozen=True)
class Several(Pattern):
    """Strikes `count` distinct elements of the site, each set with the anchor equally likely; all of a smaller site.

    The footprint is the seed of the random numbers.
    """

    name: str
    several: int

    def footprints(self, op: str) -> tuple[Piece, ...]:
        return (Piece(FOOTPRINTS, 1.0),)

    def elements(self, op: str, layout: Layout, anchors_K: Tensor, footprints_K: Tensor) -> Tensor:
        others = min(self.several, layout.size) - 1
        rows = [
            [anchor, *_others(layout.size, anchor, others, seed)]
            for anchor, seed in zip(anchors_K.tolist(), footprints_K.tolist(), strict=True)
        ]
        return torch.tensor(rows, dtype=torch.int64, device=anchors_K.device).reshape(len(rows), 1 + others)


def _others(size: int, anchor: int, count: int, seed: int) -> list[int]:
    """Return `count` distinct elements below `size` other than the anchor, ascending, all sets equally likely.

    R. W. Floyd's method: J. Bentley, "Programming pearls: a sample of brilliance", CACM 30(9), 1987.
    """
    words = seeding.words(seed, "several", anchor, count=count)[:, 0]
    found: set[int] = set()
    for number, last in enumerate(range(size - 1 - count, size - 1)):
        drawn = int(seeding.below(words[number : number + 1], last + 1)[0])
        found.add(last if drawn in found else drawn)
    return sorted(place + (place >= anchor) for place in found)
