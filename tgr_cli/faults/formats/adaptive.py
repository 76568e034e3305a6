"""AdaptivFloat: floating point whose exponent bias is fitted to a tensor."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tgr_cli.faults.formats.exponent import BIAS
from tgr_cli.faults.formats.format import Format, Scale, float_fields
from tgr_cli.faults.formats.rounding import exponent, largest, nearest, power_of_two, require_finite, single


@dataclass(frozen=True)
class AdaptivFloat(Format):
    """A sign, `exponent` bits (1 to 5) and `mantissa` bits (1 to 14): 2^(E + bias) · (1 + M/2^m).

    The bias of a tensor puts its largest value into the highest binade. There are no subnormals, infinities or NaN:
    the smallest magnitude, E = M = 0, is 0 instead. Values beyond the largest are stored as it, NaN as 0, and what is
    at most half of the smallest, as 0. Source: Tambe et al., "Algorithm-hardware co-design of adaptive floating-point
    encodings", DAC 2020, algorithm 1. The step is 2^bias.
    """

    name: str = field(compare=False)
    exponent: int
    mantissa: int
    what: str = field(default="", compare=False)

    shared = "tensor"
    bounded = True
    scale_format = BIAS

    @property
    def width(self) -> int:  # type: ignore[override]
        return 1 + self.exponent + self.mantissa

    @property
    def fields(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]
        return float_fields(self.exponent, self.mantissa)

    @property
    def facts(self) -> dict[str, Any]:
        return super().facts | {"scale_format": self.scale_format.name}

    def fit(self, low: Tensor, high: Tensor) -> Scale:
        """Return the scale of values from `low` to `high`; raises TgrError if they are not finite."""
        require_finite(self.name, low, high)
        bias = exponent(largest(low, high)) - (2**self.exponent - 1)
        return Scale(power_of_two(bias.clamp(-128, 127)))

    def rounded(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        numbers = self._rounded(values, scale)
        return (numbers if scale is None else numbers.mul_(scale.step)).to(values.dtype)

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        numbers = self._rounded(values, scale)
        magnitude = (numbers.abs().view(torch.int32) >> (23 - self.mantissa)) - (127 << self.mantissa)
        negative = (numbers.view(torch.int32) < 0).to(torch.int32)
        return self.word(magnitude.clamp_(min=0) + (negative << (self.width - 1)))

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        bits = self.unsigned(words)
        magnitude = bits & (self.words // 2 - 1)
        numbers = ((magnitude + (127 << self.mantissa)) << (23 - self.mantissa)).view(torch.float32)
        numbers = torch.where(magnitude == 0, 0.0, numbers)
        numbers = torch.where(bits >= self.words // 2, -numbers, numbers)
        return (numbers if scale is None else numbers * scale.step).to(dtype)

    def _rounded(self, values: Tensor, scale: Scale | None) -> Tensor:
        """Return the numbers of this format for the bias 0, nearest to values / step."""
        wide = single(values)
        wide = wide if scale is None else wide / scale.step
        smallest = 1 + 2.0**-self.mantissa
        highest = 2.0 ** (2**self.exponent - 1) * (2 - 2.0**-self.mantissa)
        sizes = wide.abs().nan_to_num_(nan=0.0).clamp_(max=highest)
        stored = sizes > smallest / 2
        numbers = nearest(sizes, self.mantissa, 1.0).clamp_(min=smallest).mul_(stored)
        return numbers.copysign_(wide.nan_to_num(nan=0.0))
