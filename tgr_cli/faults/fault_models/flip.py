"""Bit flips, the effect of a particle strike on a memory cell: one bit, or several bits of a word."""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.fault_models.fault_model import FaultModel, Piece
from tgr_cli.faults.formats import Format
from tgr_cli.faults.upset import Upset

MOST_SETS = 2**20  # sets of bits are numbered in a table


@dataclass(frozen=True)
class Flip(FaultModel):
    """Flips one bit of the word, each equally likely: any bit, those of one `field`, or always `bit`.

    FxP-Flip of Mahmoud et al. (ISSRE 2021) in a fixed-point or integer format.
    """

    bit: int | None = None
    field: str | None = None

    @property
    def name(self) -> str:  # type: ignore[override]
        if self.bit is not None:
            return f"flip:bit={self.bit}"
        return "flip" if self.field is None else f"flip:field={self.field}"

    def check(self, form: Format) -> None:
        if self.bit is not None and not 0 <= self.bit < form.width:
            raise TgrError(
                f'--fault-model is "{self.name}", and the bits of {form.name} are 0 to {form.width - 1}; '
                "use one of them"
            )
        if self.field is not None and self.field not in form.fields:
            raise TgrError(
                f'--fault-model is "{self.name}", and the fields of {form.name} are {", ".join(form.fields)}; '
                "use one of them"
            )

    def pieces(self, form: Format) -> tuple[Piece, ...]:
        first, last = self._ends(form)
        return (Piece(last - first + 1, 1.0),)

    def upset(self, choices: Tensor, form: Format) -> Upset:
        return Upset.of_bits(choices + self._ends(form)[0], form)

    def bits(self, choices_F: np.ndarray, form: Format) -> np.ndarray:
        return choices_F + self._ends(form)[0]

    def _ends(self, form: Format) -> tuple[int, int]:
        if self.bit is not None:
            return self.bit, self.bit
        return (0, form.width - 1) if self.field is None else form.fields[self.field]


@dataclass(frozen=True)
class FlipSeveral(FaultModel):
    """Flips `count` distinct bits of the word; each set of bits is equally likely."""

    count: int

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"flip:bits={self.count}"

    def check(self, form: Format) -> None:
        if self.count > form.width:
            raise TgrError(
                f'--fault-model is "{self.name}", and {form.name} has {form.width} bits; flip at most so many'
            )
        if math.comb(form.width, self.count) > MOST_SETS:
            raise TgrError(
                f'--fault-model is "{self.name}": {form.name} has {math.comb(form.width, self.count):,} sets of so '
                f"many bits, and at most {MOST_SETS:,} can be numbered; flip fewer bits, or use random"
            )

    def pieces(self, form: Format) -> tuple[Piece, ...]:
        return (Piece(math.comb(form.width, self.count), 1.0),)

    def upset(self, choices: Tensor, form: Format) -> Upset:
        masks_V = _masks(form.width, self.count).to(form.integer)
        return Upset.flip(masks_V.to(choices.device)[choices])


@lru_cache(maxsize=4)
def _masks(width: int, count: int) -> Tensor:
    """Return the mask of every set of `count` bits, int64 [V], the sets in lexicographic order."""
    sets = itertools.chain.from_iterable(itertools.combinations(range(width), count))
    bits_VC = torch.from_numpy(np.fromiter(sets, np.int64).reshape(-1, count))
    return torch.ones_like(bits_VC).bitwise_left_shift(bits_VC).sum(dim=1)
