"""Formats in which neighbouring values share a power of two: block floating point and OCP's microscaling (MX)."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tgr_cli.faults.formats.exponent import E8M0
from tgr_cli.faults.formats.format import Format, Scale
from tgr_cli.faults.formats.rounding import exponent, largest, power_of_two, single, whole


@dataclass(frozen=True)
class Block(Format):
    """Blocks of `block` values, each a word of the format `element`, times a power of two that the block shares.

    The power's exponent is ⌊log2 max|x|⌋ - `top`, at least -127, where `top` is that of the element format's largest
    number; a block with a value that is not finite has the scale NaN, so that all its values are NaN. Elements beyond
    the largest are stored as it. Source: OCP Microscaling Formats (MX) Specification 1.0, sections 5 and 6.3.
    """

    name: str = field(compare=False)
    element: Format
    top: int
    block: int = 0
    bounded: bool = True
    what: str = field(default="", compare=False)

    shared = "block"
    dynamic = True
    scale_format = E8M0

    @property
    def width(self) -> int:  # type: ignore[override]
        return self.element.width

    @property
    def fields(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]
        return dict(self.element.fields)

    @property
    def facts(self) -> dict[str, Any]:
        return self.element.facts | super().facts | {"block": self.block, "scale_format": self.scale_format.name}

    @property
    def refits(self) -> bool:
        """Return whether rounded values tell the scale they were rounded with: it is the one fitted to them again.

        They do not where an element can be as large as a whole power of two above `top`, as -2 in MXINT8.
        """
        words = torch.arange(self.words, dtype=torch.int64).to(self.element.integer)
        values = self.element.decode(words, dtype=torch.float32)
        return bool(values[values.isfinite()].abs().max() < 2.0 ** (self.top + 1))

    def fit(self, low: Tensor, high: Tensor) -> Scale:
        peak = largest(low, high)
        shared = power_of_two((exponent(peak) - self.top).clamp(-127, 127))
        return Scale(shared.masked_fill(peak.isfinite().logical_not_(), torch.nan))

    def rounded(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        if scale is None:
            return self.element.rounded(values)
        return self.element.rounded(single(values) / scale.step).mul_(scale.step).to(values.dtype)

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        return self.element.encode(values if scale is None else single(values) / scale.step)

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        if scale is None:
            return self.element.decode(words, dtype=dtype)
        return (self.element.decode(words, dtype=torch.float32) * scale.step).to(dtype)


@dataclass(frozen=True)
class SignMagnitude(Format):
    """A sign and a whole number of `magnitude_bits` (at most 15), as the elements of block floating point are stored.

    Numbers beyond the largest, and infinities, are stored as it; NaN as 0. There is a -0.
    """

    magnitude_bits: int
    name = "sign_magnitude"

    @property
    def width(self) -> int:  # type: ignore[override]
        return 1 + self.magnitude_bits

    @property
    def fields(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]
        sign = self.magnitude_bits
        return {"sign": (sign, sign), "magnitude": (0, sign - 1)}

    def rounded(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        end = 2**self.magnitude_bits - 1
        wide = single(values)
        return whole(wide.abs(), 0, end).copysign_(wide.nan_to_num(nan=0.0)).to(values.dtype)

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        numbers = self.rounded(single(values))
        negative = (numbers.view(torch.int32) < 0).to(torch.int32)
        return self.word(numbers.abs().to(torch.int32) + (negative << self.magnitude_bits))

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        bits = self.unsigned(words)
        magnitude = (bits & (self.words // 2 - 1)).to(torch.float32)
        return torch.where(bits >= self.words // 2, -magnitude, magnitude).to(dtype)
