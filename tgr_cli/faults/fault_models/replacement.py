"""Faults that replace a value: by a random word, by a random number in the site's range, or by 0.

FxP-Rand and FP-Rand of Mahmoud et al. (ISSRE 2021) are `random` in a fixed-point or integer format and `random-value`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.fault_models.fault_model import FaultModel, Piece
from tgr_cli.faults.formats import Format
from tgr_cli.faults.upset import Upset

STEPS = 2**24  # equally spaced numbers of a random value: as many as a float32 distinguishes in its highest binade


@dataclass(frozen=True)
class RandomWord(FaultModel):
    """Replaces the word by another one, every code word equally likely, the stored one among them; a choice is it."""

    name: str = "random"

    def check(self, form: Format) -> None:
        if form.width > 32:
            raise TgrError(
                f"--fault-model is random, and {form.name} has words of {form.width} bits; use one of at most 32"
            )

    def pieces(self, form: Format) -> tuple[Piece, ...]:
        return (Piece(form.words, 1.0),)

    def upset(self, choices: Tensor, form: Format) -> Upset:
        return Upset.put(_words(choices, form))


@dataclass(frozen=True)
class RandomValue(FaultModel):
    """Replaces the value by a random real number between ± the site's largest absolute value, whatever the format.

    A choice is one of 2²⁴ equal parts of that range, and the value lies in its middle.
    """

    name: str = "random-value"

    def pieces(self, form: Format) -> tuple[Piece, ...]:
        return (Piece(STEPS, 1.0),)

    def upset(self, choices: Tensor, form: Format) -> Upset:
        return Upset.put_fraction((choices.double() + 0.5) * (2 / STEPS) - 1, form)

    @property
    def needs_ranges(self) -> bool:
        return True


@dataclass(frozen=True)
class Zero(FaultModel):
    """Replaces the value by 0, as a dropped result does."""

    name: str = "zero"

    def pieces(self, form: Format) -> tuple[Piece, ...]:
        return (Piece(1, 1.0),)

    def upset(self, choices: Tensor, form: Format) -> Upset:
        return Upset.put_fraction(torch.zeros(choices.shape, dtype=torch.float64, device=choices.device), form)


def _words(choices: Tensor, form: Format) -> Tensor:
    """Return numbers 0 to 2^width - 1 as code words: in two's complement where the integer has exactly these bits."""
    if torch.iinfo(form.integer).bits == form.width:
        choices = torch.where(choices >= form.words // 2, choices - form.words, choices)
    return choices.to(form.integer)
