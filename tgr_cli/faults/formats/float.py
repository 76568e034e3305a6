"""Floating-point formats of any size: sign, exponent, mantissa."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from tgr_cli.faults.formats.format import Format, Scale, float_fields
from tgr_cli.faults.formats.rounding import nearest, shortened, single

Specials = Literal["ieee", "fn", "fnuz", "none"]
Overflow = Literal["saturate", "inf", "nan"]

# What torch casts to and from in one pass, by exponent and mantissa.
_CASTS = {(8, 7): torch.bfloat16, (5, 10): torch.float16}


def usual_bias(exponent: int, specials: Specials) -> int:
    """Return the exponent bias that is in use: that of IEEE 754, or one more where -0 is given up."""
    return 2 ** (exponent - 1) - (0 if specials == "fnuz" else 1)


@dataclass(frozen=True)
class Float(Format):
    """A floating-point format of a sign, `exponent` (2 to 8) and `mantissa` (1 to 21) bits.

    A word with exponent field E and mantissa M is 2^(E - bias) · (1 + M/2^m), and with E = 0 it is the subnormal
    2^(1 - bias) · M/2^m. `specials` says which words are no numbers: "ieee", those of the highest E are infinities
    (M = 0) and NaN; "fn", NaN where E and M are all ones; "fnuz", NaN in place of -0; "none". `overflow` says what is
    stored of a number that rounds to one beyond the largest, and of infinities.
    """

    name: str = field(compare=False)
    exponent: int
    mantissa: int
    bias: int
    specials: Specials = "ieee"
    overflow: Overflow = "inf"
    what: str = field(default="", compare=False)

    @property
    def width(self) -> int:  # type: ignore[override]
        return 1 + self.exponent + self.mantissa

    @property
    def fields(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]
        return float_fields(self.exponent, self.mantissa)

    @property
    def facts(self) -> dict[str, Any]:
        return super().facts | {"bias": self.bias, "specials": self.specials, "overflow": self.overflow}

    @property
    def top(self) -> int:
        """Return the exponent of the largest numbers: they are less than 2^(top + 1)."""
        return 2**self.exponent - (2 if self.specials == "ieee" else 1) - self.bias

    @property
    def largest(self) -> float:
        """Return the largest finite number."""
        below = 2 if self.specials == "fn" else 1  # all ones is NaN
        return math.ldexp(2.0**self.mantissa * 2 - below, self.top - self.mantissa)

    def rounded(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        return self._rounded(single(values)).to(values.dtype)

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        numbers = self._rounded(single(values))
        # Shift float32's exponent to this bias: the fields are then the leading bits of a float32.
        magnitude = (numbers.abs() * 2.0 ** (self.bias - 127)).view(torch.int32) >> (23 - self.mantissa)
        if self.specials == "ieee":
            magnitude = torch.where(numbers.isinf(), self._inf, magnitude)
        magnitude = torch.where(numbers.isnan(), self._nan, magnitude)
        negative = (numbers.view(torch.int32) < 0) & (numbers.isnan().logical_not_() | (self.specials != "fnuz"))
        return self.word(magnitude + (negative.to(torch.int32) << (self.width - 1)))

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        bits = self.unsigned(words)
        magnitude = bits & (self.words // 2 - 1)
        signed = (magnitude << (23 - self.mantissa)) | ((bits << (32 - self.width)) & -(2**31))
        numbers = signed.view(torch.float32) * 2.0 ** (127 - self.bias)
        if self.specials == "ieee":
            infinite = torch.full_like(numbers, torch.inf).copysign_(numbers)
            numbers = torch.where(magnitude == self._inf, infinite, numbers)
            numbers = numbers.masked_fill_(magnitude > self._inf, torch.nan)
        elif self.specials != "none":
            numbers = numbers.masked_fill_((bits if self.specials == "fnuz" else magnitude) == self._nan, torch.nan)
        return numbers.to(dtype)

    @property
    def _inf(self) -> int:
        return (2**self.exponent - 1) << self.mantissa

    @property
    def _nan(self) -> int:
        """Return the word of a NaN; without one, that of 0."""
        quiet = self._inf + (1 << (self.mantissa - 1))
        return {"ieee": quiet, "fn": self.words // 2 - 1, "fnuz": self.words // 2, "none": 0}[self.specials]

    def _rounded(self, values: Tensor) -> Tensor:
        """Return float32 values rounded to float32 numbers of this format."""
        saturates = self.overflow == "saturate"
        if self.exponent == 8 or self._cast is not None:
            within = values.clamp(-self.largest, self.largest) if saturates else values
            return shortened(within, self.mantissa) if self._cast is None else within.to(self._cast).to(torch.float32)
        end = self.largest if saturates else 2.0 ** (self.top + 1)
        numbers = nearest(values.clamp(-end, end), self.mantissa, 2.0 ** (1 - self.bias))
        if self.specials != "fnuz":
            numbers.copysign_(values)
        if self.specials == "none":
            numbers.nan_to_num_(nan=0.0)
        if self.overflow == "inf":  # a product beyond the largest float32 is infinite, all others are exact
            numbers.mul_(2.0 ** (127 - self.top)).mul_(2.0 ** (self.top - 127))
        elif self.overflow == "nan":
            numbers.masked_fill_(numbers.abs() > self.largest, torch.nan)
        return numbers

    @property
    def _cast(self) -> torch.dtype | None:
        """Return the type of torch that is this format, but for overflow, if there is one."""
        ieee = self.specials == "ieee" and self.bias == usual_bias(self.exponent, "ieee")
        return _CASTS.get((self.exponent, self.mantissa)) if ieee else None
