"""The interface of number formats: what a value is stored as, and what the stored bits mean.

A code word is held in the smallest signed integer dtype with at least `width` bits: in two's complement where it has
exactly that many bits, otherwise as a number from 0 to 2^width - 1. Bit 0 is the least significant.

Suffixes: F faults.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tgr_cli.errors import TgrError

_INTEGERS = {8: torch.int8, 16: torch.int16, 32: torch.int32, 64: torch.int64}


@dataclass(frozen=True)
class Scale:
    """What the code words of a group of values share: value = (code - zero) × step, for integers.

    Both broadcast with the values. Other formats use `step` alone: a shared power of two, or that of a bias.
    """

    step: Tensor
    zero: Tensor | None = None


def float_fields(exponent: int, mantissa: int) -> dict[str, tuple[int, int]]:
    """Return the fields of a floating-point word: a sign, then `exponent` and `mantissa` bits."""
    sign = exponent + mantissa
    return {"sign": (sign, sign), "exponent": (mantissa, sign - 1), "mantissa": (0, mantissa - 1)}


class Format(ABC):
    """A number format of `width` bits, with named `fields`: lowest and highest bit of each, most significant first.

    `what` is a line about it. `shared` says which values share a scale: "" where the format has none, "tensor",
    "channel", or "block" for `block` neighbouring values. The scale of a `dynamic` format is chosen anew for the values
    of each inference; others are fitted once, to profiled values or to a tensor. Without a scale the step is 1.
    `bounded` formats hold nothing outside the range they were fitted to (up to the rounding of the scale), which makes
    a range limit superfluous. A scale is stored too: its step as a word of `scale_format`.

    Every format stores every value: what becomes of NaN, infinities and numbers beyond its range, docs/formats.md says.
    """

    name: str
    width: int
    fields: Mapping[str, tuple[int, int]]
    what: str = ""
    shared: str = ""
    block: int = 0
    dynamic: bool = False
    bounded: bool = False
    scale_format: "Format | None" = None

    @property
    def integer(self) -> torch.dtype:
        """Return the integer dtype that holds the code words."""
        return next(dtype for bits, dtype in _INTEGERS.items() if bits >= self.width)

    @property
    def words(self) -> int:
        """Return the number of code words."""
        return 1 << self.width

    @property
    def facts(self) -> dict[str, Any]:
        """Return what artifacts record: enough to name the field of a bit without this code."""
        return {
            "name": self.name,
            "width": self.width,
            "fields": {name: list(ends) for name, ends in self.fields.items()},
        }

    def field(self, bit: int) -> str:
        """Return the name of the field that contains `bit`."""
        return next(name for name, (low, high) in self.fields.items() if low <= bit <= high)

    def parts(self, word: int) -> Mapping[str, tuple[int, int]]:
        """Return the fields of one code word, 0 to 2^width - 1: those of a posit have different lengths in each."""
        return self.fields

    def fit(self, low: Tensor, high: Tensor) -> Scale | None:
        """Return the scale for groups of values from `low` to `high`, tensors of one shape; None without a scale."""
        return None

    @abstractmethod
    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        """Return the code words of `values` (floating point), rounded to nearest, ties to even; dtype `integer`."""

    @abstractmethod
    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        """Return the values of code words, in `dtype`."""

    def rounded(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        """Return the values nearest to `values` that the format holds, in the same dtype."""
        return self.decode(self.encode(values, scale), scale, dtype=values.dtype)

    def word(self, numbers: Tensor) -> Tensor:
        """Return whole numbers of any dtype as code words: in two's complement, and of dtype `integer`."""
        wide = numbers.to(torch.int64 if self.width > 31 else torch.int32)
        return (wide if self.width in _INTEGERS else wide & (self.words - 1)).to(self.integer)

    def unsigned(self, words: Tensor) -> Tensor:
        """Return code words of at most 31 bits as numbers from 0 to 2^width - 1; dtype int32."""
        return words.to(torch.int32) & (self.words - 1)

    def signed(self, words: Tensor) -> Tensor:
        """Return code words of at most 31 bits as the numbers that they are in two's complement; dtype int32."""
        sign = self.words >> 1
        return (self.unsigned(words) ^ sign) - sign

    def bit_masks(self, bits_F: Tensor) -> Tensor:
        """Return code words with a single bit set, one per bit number: shape [F].

        Raises TgrError for a bit that the format does not have.
        """
        if bits_F.numel() and not 0 <= int(bits_F.min()) <= int(bits_F.max()) < self.width:
            wrong = int(bits_F.min()) if int(bits_F.min()) < 0 else int(bits_F.max())
            raise TgrError(f"bit {wrong} does not exist in {self.name}; its bits are 0 to {self.width - 1}")
        return torch.ones_like(bits_F, dtype=torch.int64).bitwise_left_shift(bits_F.long()).to(self.integer)
