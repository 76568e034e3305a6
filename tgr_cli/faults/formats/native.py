"""The number formats that torch has a type for: a code word is the value's own bits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.formats.format import Format, Scale


@dataclass(frozen=True)
class Native(Format):
    """A type of torch: from the most significant bit on, `sign`, `exponent` and `mantissa` bits.

    Integers have no exponent; their `mantissa` is the value, in two's complement where there is a sign bit.
    """

    name: str
    dtype: torch.dtype
    sign: int
    exponent: int
    mantissa: int

    @property
    def width(self) -> int:  # type: ignore[override]
        return self.sign + self.exponent + self.mantissa

    @property
    def fields(self) -> dict[str, tuple[int, int]]:  # type: ignore[override]
        found, high = {}, self.width
        for name in ("sign", "exponent", "mantissa"):
            if bits := getattr(self, name):
                field = "value" if name == "mantissa" and not self.exponent else name
                found[field] = (high - bits, high - 1)
                high -= bits
        return found

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        return values.to(self.dtype).view(self.integer)

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        return words.view(self.dtype).to(dtype)

    def rounded(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        return values if values.dtype == self.dtype else values.to(self.dtype).to(values.dtype)


NATIVE: dict[str, Native] = {
    form.name: form
    for form in (
        Native("float64", torch.float64, 1, 11, 52),
        Native("float32", torch.float32, 1, 8, 23),
        Native("float16", torch.float16, 1, 5, 10),
        Native("bfloat16", torch.bfloat16, 1, 8, 7),
        Native("float8_e4m3fn", torch.float8_e4m3fn, 1, 4, 3),
        Native("float8_e5m2", torch.float8_e5m2, 1, 5, 2),
        Native("int64", torch.int64, 1, 0, 63),
        Native("int32", torch.int32, 1, 0, 31),
        Native("int16", torch.int16, 1, 0, 15),
        Native("int8", torch.int8, 1, 0, 7),
        Native("uint8", torch.uint8, 0, 0, 8),
    )
}
_BY_DTYPE = {form.dtype: form for form in NATIVE.values()}


def format_of(dtype: torch.dtype) -> Native:
    """Return the format of a tensor's dtype; raises TgrError for a dtype without a format here."""
    if dtype not in _BY_DTYPE:
        raise TgrError(f"bits of {dtype} cannot be flipped; convert the model to one of {', '.join(NATIVE)}")
    return _BY_DTYPE[dtype]


def width(dtype: torch.dtype) -> int:
    """Return the number of bits of one element of this dtype."""
    return format_of(dtype).width
