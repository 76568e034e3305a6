"""Stuck-at faults: a bit that reads as 0 or as 1, whatever is stored, as a broken wire makes it."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tgr_cli.faults.fault_models.fault_model import FaultModel, Piece
from tgr_cli.faults.formats import Format
from tgr_cli.faults.upset import Upset


@dataclass(frozen=True)
class Stuck(FaultModel):
    """Makes one bit of the word `at` (0 or 1), each bit equally likely; nothing changes where it is so already.

    A choice is the bit. With `--lasting` the fault is permanent.
    """

    at: int

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"stuck:at={self.at}"

    def pieces(self, form: Format) -> tuple[Piece, ...]:
        return (Piece(form.width, 1.0),)

    def upset(self, choices: Tensor, form: Format) -> Upset:
        masks = form.bit_masks(choices)
        return Upset.set(masks) if self.at else Upset.clear(masks)

    def bits(self, choices_F: np.ndarray, form: Format) -> np.ndarray:
        return choices_F
