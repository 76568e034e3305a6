"""Powers of two alone: the formats in which shared exponents are stored."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.faults.formats.format import Format, Scale
from tgr_cli.faults.formats.rounding import power_of_two


@dataclass(frozen=True)
class Exponent(Format):
    """A power of two from 2^-128 to 2^127 in 8 bits: its exponent, in two's complement, or with a bias of 127.

    With a bias the highest word is NaN, which also stands for what has no exponent: numbers up to 0, infinities, NaN.
    In two's complement, where there is no NaN, these are refused by whoever fits a scale. The nearest power of two is
    stored, of two equally near ones the larger.
    """

    name: str
    biased: bool
    what: str = "a shared exponent"
    width = 8

    @property
    def fields(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]
        return {"exponent": (0, 7)} if self.biased else {"sign": (7, 7), "exponent": (0, 6)}

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        fraction, power = torch.frexp(values.double())
        power = power - 1 + (fraction >= 0.75).to(power.dtype)
        if not self.biased:
            return self.word(power.clamp(-128, 127))
        number = (values > 0) & (values < torch.inf) & (power <= 127)
        return self.word(torch.where(number, power.clamp(min=-127) + 127, 255))

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        if not self.biased:
            return power_of_two(self.signed(words)).to(dtype)
        bits = self.unsigned(words)
        return power_of_two(bits.clamp(max=254) - 127).masked_fill_(bits == 255, torch.nan).to(dtype)


E8M0 = Exponent("e8m0", biased=True, what="a power of two: the shared exponent of OCP's microscaling formats")
BIAS = Exponent("exponent_bias", biased=False, what="an exponent bias, in two's complement")
