"""Mixtures: fault models with probabilities, as measurements of an accelerator give them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tgr_cli.faults.fault_models.fault_model import FaultModel, Piece
from tgr_cli.faults.formats import Format
from tgr_cli.faults.upset import Upset

MIXTURE = "mixture of "  # how the names of mixtures begin


@dataclass(frozen=True)
class Mixture(FaultModel):
    """Draws one of several models by its probability, then a choice of it; choices are numbered model after model."""

    name: str
    models: tuple[FaultModel, ...]
    shares: tuple[float, ...]

    def check(self, form: Format) -> None:
        for model in self.models:
            model.check(form)

    def pieces(self, form: Format) -> tuple[Piece, ...]:
        return tuple(
            Piece(piece.count, share * piece.probability)
            for model, share in zip(self.models, self.shares, strict=True)
            for piece in model.pieces(form)
        )

    def upset(self, choices: Tensor, form: Format) -> Upset:
        found = Upset.put(torch.zeros(choices.shape, dtype=form.integer, device=choices.device))
        for model, start, stop in self._parts(form):
            own = (choices >= start) & (choices < stop)
            if own.any():
                found = found.where(~own, model.upset((choices - start).clamp(0, stop - start - 1), form))
        return found

    def bits(self, choices_F: np.ndarray, form: Format) -> np.ndarray:
        bits_F = np.full(len(choices_F), -1)
        for model, start, stop in self._parts(form):
            own_F = (choices_F >= start) & (choices_F < stop)
            bits_F[own_F] = model.bits(choices_F[own_F] - start, form)
        return bits_F

    @property
    def needs_ranges(self) -> bool:
        return any(model.needs_ranges for model in self.models)

    def _parts(self, form: Format) -> list[tuple[FaultModel, int, int]]:
        """Return each model with its first choice and the one after its last."""
        ends = np.cumsum([sum(piece.count for piece in model.pieces(form)) for model in self.models]).tolist()
        return list(zip(self.models, [0, *ends[:-1]], ends, strict=True))
