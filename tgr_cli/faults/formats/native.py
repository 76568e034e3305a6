"""The number formats that torch has a type for: a code word is the value's own bits."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.formats.format import Format, Scale
from tgr_cli.faults.formats.rounding import single, whole

_FLOATS = {
    "float64": "IEEE 754 binary64",
    "float32": "IEEE 754 binary32",
    "float16": "IEEE 754 binary16",
    "bfloat16": "the upper half of a float32",
}


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

    @property
    def what(self) -> str:  # type: ignore[override]
        if self.exponent:
            return _FLOATS.get(self.name, "a floating-point type of torch")
        return f"whole numbers of {self.width} bits, without a scale"

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        return self._cast(values).view(self.integer)

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        return words.view(self.dtype).to(dtype)

    def rounded(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        return values if values.dtype == self.dtype else self._cast(values).to(values.dtype)

    def _cast(self, values: Tensor) -> Tensor:
        """Return values in this type, rounded to nearest; whole numbers are clipped to what it holds, NaN becomes 0."""
        if values.dtype == self.dtype:
            return values
        if self.exponent:  # torch casts float64 by way of float32, which would round twice
            return (values if self.width >= 32 else single(values)).to(self.dtype)
        ends = torch.iinfo(self.dtype)
        numbers = whole(values.double().clone(), ends.min, ends.max)
        # As a float64 the highest int64 is 2^63, which would overflow.
        below = numbers.clamp(max=math.nextafter(float(ends.max), 0.0)).to(self.dtype)
        return torch.where(numbers >= ends.max, ends.max, below)


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
