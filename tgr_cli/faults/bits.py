"""Number formats as data, and single-bit flips on them. Bit 0 is the least significant.

Suffixes: F faults.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.errors import TgrError, one_of

_INTEGERS = {8: torch.int8, 16: torch.int16, 32: torch.int32, 64: torch.int64}


@dataclass(frozen=True)
class Format:
    """A number format: from its most significant bit on, `sign`, `exponent` and `mantissa` bits.

    Integers have no exponent; their `mantissa` is the value, in two's complement where there is a sign bit.
    """

    name: str
    dtype: torch.dtype
    sign: int
    exponent: int
    mantissa: int

    @property
    def width(self) -> int:
        return self.sign + self.exponent + self.mantissa

    @property
    def integer(self) -> torch.dtype:
        """Return the integer dtype of the same width; bits are flipped in an integer view of the value."""
        return _INTEGERS[self.width]

    def field(self, bit: int) -> str:
        """Return the field that contains `bit`: sign, exponent, mantissa, or value for integers."""
        if bit >= self.exponent + self.mantissa:
            return "sign"
        if bit >= self.mantissa:
            return "exponent"
        return "mantissa" if self.exponent else "value"

    @property
    def fields(self) -> dict[str, tuple[int, int]]:
        """Return the lowest and highest bit of each field, the most significant field first."""
        names = [self.field(bit) for bit in range(self.width)]
        return {name: (names.index(name), self.width - 1 - names[::-1].index(name)) for name in reversed(names)}


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format("float64", torch.float64, 1, 11, 52),
        Format("float32", torch.float32, 1, 8, 23),
        Format("float16", torch.float16, 1, 5, 10),
        Format("bfloat16", torch.bfloat16, 1, 8, 7),
        Format("float8_e4m3fn", torch.float8_e4m3fn, 1, 4, 3),
        Format("float8_e5m2", torch.float8_e5m2, 1, 5, 2),
        Format("int64", torch.int64, 1, 0, 63),
        Format("int32", torch.int32, 1, 0, 31),
        Format("int16", torch.int16, 1, 0, 15),
        Format("int8", torch.int8, 1, 0, 7),
        Format("uint8", torch.uint8, 0, 0, 8),
    )
}
_BY_DTYPE = {form.dtype: form for form in FORMATS.values()}


def format_named(name: str) -> Format:
    """Return the format called `name`; raises TgrError for an unknown name.

    >>> format_named("bfloat16").fields
    {'sign': (15, 15), 'exponent': (7, 14), 'mantissa': (0, 6)}
    """
    one_of("--format", name, FORMATS)
    return FORMATS[name]


def format_of(dtype: torch.dtype) -> Format:
    """Return the format of a tensor's dtype; raises TgrError for a dtype without a format here."""
    if dtype not in _BY_DTYPE:
        raise TgrError(f"bits of {dtype} cannot be flipped; convert the model to one of {', '.join(FORMATS)}")
    return _BY_DTYPE[dtype]


def width(dtype: torch.dtype) -> int:
    """Return the number of bits of one element of this dtype."""
    return format_of(dtype).width


def masks(bits_F: Tensor, form: Format) -> Tensor:
    """Return code words with a single bit set, one per bit number: shape [F], the format's integer dtype.

    Raises TgrError for a bit that the format does not have.
    """
    if bits_F.numel() and not 0 <= int(bits_F.min()) <= int(bits_F.max()) < form.width:
        wrong = int(bits_F.min()) if int(bits_F.min()) < 0 else int(bits_F.max())
        raise TgrError(f"bit {wrong} does not exist in {form.name}; its bits are 0 to {form.width - 1}")
    return torch.ones_like(bits_F, dtype=torch.int64).bitwise_left_shift(bits_F.long()).to(form.integer)


def flip(values_F: Tensor, bits_F: Tensor) -> Tensor:
    """Return a copy of `values_F` in which bit `bits_F[i]` of element i is flipped; same dtype and device.

    The flip is an exclusive or on integers, so NaN payloads and the sign of zero are preserved. Raises TgrError for a
    bit that the format does not have.

    The sign (31) and the highest bit of the exponent (30) of a float32:

    >>> flip(torch.tensor([1.0, 0.5]), torch.tensor([31, 30])).tolist()
    [-1.0, 1.7014118346046923e+38]
    >>> flip(torch.tensor([5], dtype=torch.int8), torch.tensor([1])).tolist()
    [7]
    """
    form = format_of(values_F.dtype)
    return (values_F.view(form.integer) ^ masks(bits_F, form).to(values_F.device)).view(values_F.dtype)
