"""Fixed-point formats: whole numbers of a fixed fraction."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tgr_cli.faults.formats.format import Format, Scale
from tgr_cli.faults.formats.rounding import whole


@dataclass(frozen=True)
class Fixed(Format):
    """A sign, `integer_bits` and `fraction_bits`, together at most 31: a number in two's complement, times 2^-fraction.

    Numbers beyond the range, and infinities, are stored as the nearest end of it; NaN as 0.
    """

    name: str = field(compare=False)
    integer_bits: int
    fraction_bits: int
    what: str = field(default="", compare=False)

    @property
    def width(self) -> int:  # type: ignore[override]
        return 1 + self.integer_bits + self.fraction_bits

    @property
    def fields(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]
        sign, point = self.width - 1, self.fraction_bits
        found = {"sign": (sign, sign), "integer": (point, sign - 1), "fraction": (0, point - 1)}
        return {name: (low, high) for name, (low, high) in found.items() if low <= high}

    @property
    def facts(self) -> dict[str, Any]:
        return super().facts | {"fraction_bits": self.fraction_bits}

    def rounded(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        return self._numbers(values).mul_(2.0**-self.fraction_bits).to(values.dtype)

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        return self.word(self._numbers(values))

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        return (self.signed(words).double() * 2.0**-self.fraction_bits).to(dtype)

    def _numbers(self, values: Tensor) -> Tensor:
        """Return the whole numbers that are stored, as float32, or as float64 where float32 is too short."""
        short = self.width <= 24 and values.dtype != torch.float64
        wide = values.to(torch.float32 if short else torch.float64)
        end = self.words // 2
        return whole(wide * 2.0**self.fraction_bits, -end, end - 1)
