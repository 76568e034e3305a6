"""Bursts: neighbouring bits that flip together, as one particle may strike neighbouring cells."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.fault_models.fault_model import FaultModel, Piece
from tgr_cli.faults.formats import Format
from tgr_cli.faults.upset import Upset


@dataclass(frozen=True)
class Burst(FaultModel):
    """Flips `length` neighbouring bits of the word; each position is equally likely. A choice is the lowest bit."""

    length: int = 2

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"burst:length={self.length}"

    def check(self, form: Format) -> None:
        if self.length > form.width:
            raise TgrError(
                f'--fault-model is "{self.name}", and {form.name} has {form.width} bits; use a shorter burst'
            )

    def pieces(self, form: Format) -> tuple[Piece, ...]:
        return (Piece(form.width - self.length + 1, 1.0),)

    def upset(self, choices: Tensor, form: Format) -> Upset:
        masks = [form.bit_masks(choices + place) for place in range(self.length)]
        return Upset.flip(torch.stack(masks).sum(dim=0, dtype=form.integer))

    def bits(self, choices_F: np.ndarray, form: Format) -> np.ndarray:
        return choices_F
