"""Values that are given instead of drawn, to see what the network does with them."""

import torch
from torch import Tensor

from tgr_cli.faults.fault_models.fault_model import FaultModel, Piece
from tgr_cli.faults.formats import Format
from tgr_cli.faults.upset import Upset


class Given(FaultModel):
    """Replaces a value by one of `values`, float64, whatever the format; a choice is its position.

    The values may be set anew before each strike. Corruptions with this model have a `max_abs` of 1 at every site.
    """

    name = "given"

    def __init__(self) -> None:
        self.values = torch.zeros(1, dtype=torch.float64)

    def pieces(self, form: Format) -> tuple[Piece, ...]:
        return (Piece(len(self.values), 1.0),)

    def upset(self, choices: Tensor, form: Format) -> Upset:
        return Upset.put_fraction(self.values.to(choices.device)[choices], form)

    @property
    def needs_ranges(self) -> bool:
        return True
