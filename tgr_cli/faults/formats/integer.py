"""Integers with a scale, as quantised networks store numbers: symmetric or affine, per tensor or per channel."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.formats.exponent import E8M0
from tgr_cli.faults.formats.format import Format, Scale
from tgr_cli.faults.formats.native import NATIVE
from tgr_cli.faults.formats.rounding import largest, power_of_two, require_finite, whole

_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Integer(Format):
    """An integer of `width` bits (at most 16), in two's complement if `signed_words`: value = (code - zero) · step.

    Symmetric: step = max|x| / 127 for 8 bits, code = clip(round(x / step), -128, 127), zero = 0 (the setting of ISSRE
    2021). `affine`: the codes from lowest to highest span the range, widened to contain 0, and `zero` is the code of 0
    (Jacob et al., CVPR 2018). `power_of_two`: the step is the next power of two, as where a shift rescales.
    The division is done in float32, in float64 for such values. NaN becomes 0, as where GPUs convert it to an integer.
    """

    name: str = field(compare=False)
    width: int
    signed_words: bool = True
    affine: bool = False
    channel: bool = False
    power_of_two: bool = False
    what: str = field(default="", compare=False)

    bounded = True

    @property
    def shared(self) -> str:  # type: ignore[override]
        return "channel" if self.channel else "tensor"

    @property
    def scale_format(self) -> Format:  # type: ignore[override]
        return E8M0 if self.power_of_two else NATIVE["float32"]

    @property
    def fields(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]
        sign = self.width - 1
        return {"sign": (sign, sign), "value": (0, sign - 1)} if self.signed_words else {"value": (0, sign)}

    @property
    def facts(self) -> dict[str, Any]:
        scheme = {"affine": self.affine, "shared": self.shared, "power_of_two": self.power_of_two}
        return super().facts | scheme

    @property
    def ends(self) -> tuple[int, int]:
        """Return the lowest and the highest code."""
        low = -self.words // 2 if self.signed_words else 0
        return low, low + self.words - 1

    def fit(self, low: Tensor, high: Tensor) -> Scale:
        """Return the scale for values from `low` to `high`; the step is at least the smallest normal float32.

        Raises TgrError for a range that is not finite, or below 0 without codes for it.
        """
        require_finite(self.name, low, high)
        first, last = self.ends
        if self.affine:
            low, high = low.double().clamp(max=0.0), high.double().clamp(min=0.0)
            step = self._step((high - low) / (last - first))
            zero = (first - low / step.double()).round_().clamp_(first, last).to(torch.float32)
            return Scale(step, zero)
        if not self.signed_words and bool((low < 0).any()):
            raise TgrError(
                f"{self.name} holds no negative numbers, and the values go down to {float(low.min()):.6g}; "
                f"use {self.name}:affine or int{self.width}"
            )
        peak = largest(low, high)
        if self.power_of_two:
            return Scale(self._step(peak.double() / last))
        return Scale((peak.to(torch.float32) / last).clamp_(min=_TINY))

    def rounded(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        codes = self._codes(values, scale)
        return (codes if scale is None else codes.mul_(scale.step)).to(values.dtype)

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        codes = self._codes(values, scale)
        return self.word(codes if scale is None or scale.zero is None else codes + scale.zero)

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        numbers = self.signed(words) if self.signed_words else self.unsigned(words)
        codes = numbers.to(torch.float64 if dtype == torch.float64 else torch.float32)
        if scale is not None:
            codes = (codes if scale.zero is None else codes - scale.zero) * scale.step
        return codes.to(dtype)

    def _codes(self, values: Tensor, scale: Scale | None) -> Tensor:
        """Return code - zero, as floating point."""
        wide = values if values.dtype == torch.float64 else values.to(torch.float32)
        low, high = self.ends
        if scale is None:
            return whole(wide.clone(), low, high)
        if scale.zero is None:
            return whole(wide / scale.step, low, high)
        return whole(wide / scale.step, low - scale.zero, high - scale.zero)

    def _step(self, exact: Tensor) -> Tensor:
        """Return a step (float64) as float32, or as the next power of two."""
        if self.power_of_two:
            fraction, power = torch.frexp(exact.clamp(min=_TINY))
            power = (power - (fraction == 0.5).to(power.dtype)).to(torch.int32).clamp(-126, 127)
            return power_of_two(power)
        return exact.to(torch.float32).clamp_(min=_TINY)
