"""Posits: a regime of variable length, exponent and fraction; precise near 1, with a wide range."""

from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from tgr_cli.faults.formats.format import Format, Scale


@dataclass(frozen=True)
class Posit(Format):
    """A posit of `width` bits (3 to 16) with at most `exponent_bits` (0 to 3) bits of exponent.

    Words in two's complement are in the order of their values. Rounding is that of the words: to the nearest by the
    word with one bit more, ties to the even word, never to 0 or NaR ("not a real", the word 10…0), which stands for
    NaN and infinities. Source: Standard for Posit Arithmetic (2022), in which `exponent_bits` is 2. The lengths of
    regime, exponent and fraction depend on the word, so `fields` holds them as one, the `body`; `parts` tells them.
    """

    name: str = field(compare=False)
    width: int
    exponent_bits: int = 2
    what: str = field(default="", compare=False)

    @property
    def fields(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]
        return {"sign": (self.width - 1, self.width - 1), "body": (0, self.width - 2)}

    def parts(self, word: int) -> dict[str, tuple[int, int]]:
        body = self.width - 1  # bits
        leading = (word >> (body - 1)) & 1
        run = next((i for i in range(body) if (word >> (body - 1 - i)) & 1 != leading), body)
        regime = max(body - run - 1, 0)  # the lowest bit of the regime, which the first different bit ends
        exponent = max(regime - self.exponent_bits, 0)
        ends = {"sign": (body, body), "regime": (regime, body - 1), "exponent": (exponent, regime - 1)}
        ends["fraction"] = (0, exponent - 1)
        return {name: (low, high) for name, (low, high) in ends.items() if low <= high}

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        wide = values if values.dtype == torch.float64 else values.to(torch.float32)
        ends = _boundaries(self.width, self.exponent_bits, wide.dtype, wide.device)
        words = torch.bucketize(wide.contiguous(), ends, out_int32=True) - (self.words // 2 - 1)
        return self.word(torch.where(wide.isfinite(), words, self.words // 2))

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        table = _values(self.width, self.exponent_bits, dtype, words.device)
        return table[self.unsigned(words)]


@lru_cache(maxsize=32)
def _values(width: int, exponent_bits: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the value of every word, 0 to 2^width - 1.

    With sign s, regime r, exponent e, fraction f: ((1 - 3s) + f) · 2^((1 - 2s) · (2^es · r + e + s)), section 3.3.
    """
    words = torch.arange(1 << width)
    body = width - 1  # bits
    sign, bits = words >> body, words & ((1 << body) - 1)
    leading = bits >> (body - 1)
    other = torch.where(leading == 1, bits ^ ((1 << body) - 1), bits)
    run = body - torch.frexp(other.double()).exponent  # equal bits at the front: frexp gives the length of a number
    regime = torch.where(leading == 1, run - 1, -run)
    left = (body - run - 1).clamp(min=0)  # bits behind the regime
    rest = (bits & ((1 << left) - 1)) << (body - left)  # moved to the front of `body` bits
    exponent = rest >> (body - exponent_bits) if exponent_bits else torch.zeros_like(rest)
    fraction = (rest & ((1 << (body - exponent_bits)) - 1)).double() / (1 << (body - exponent_bits))
    power = (1 - 2 * sign) * ((regime << exponent_bits) + exponent + sign)
    values = ((1 - 3 * sign) + fraction) * ((power + 1023) << 52).view(torch.float64)
    values[0], values[1 << body] = 0.0, torch.nan
    return values.to(dtype).to(device)


@lru_cache(maxsize=32)
def _boundaries(width: int, exponent_bits: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the largest value that is stored as each word, from the most negative on, but for the last."""
    lower = torch.arange(-(1 << (width - 1)) + 1, (1 << (width - 1)) - 1)
    between = (2 * lower + 1) & ((2 << width) - 1)
    ends = _values(width + 1, exponent_bits, torch.float64, torch.device("cpu"))[between].to(dtype)
    ends[(lower == 0) | (lower == -1)] = 0.0  # nothing but 0 is stored as 0
    # A tie goes to the even word: below an odd one, it is the first value of the next word.
    ends = torch.where(lower % 2 == 1, torch.nextafter(ends, torch.full_like(ends, -torch.inf)), ends)
    return ends.to(device)
