"""Independent answers about number formats: other libraries, and exact arithmetic in float64 on decoded values.

Nothing here uses tgr's own coding. A code is a number from 0 to 2^width - 1.
"""

import math
import re
from collections.abc import Callable
from functools import lru_cache

import ml_dtypes
import numpy as np
from gfloat import decode_ndarray
from gfloat import formats as gfloat_formats
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Which type of ml_dtypes or numpy a float format is.
TYPES = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "float6_e3m2": ml_dtypes.float6_e3m2fn,
    "float6_e2m3": ml_dtypes.float6_e2m3fn,
    "float4_e2m1": ml_dtypes.float4_e2m1fn,
    "float:e=4,m=3": ml_dtypes.float8_e4m3,
    "float:e=3,m=4": ml_dtypes.float8_e3m4,
    "float:e=4,m=3,bias=11,specials=fnuz": ml_dtypes.float8_e4m3b11fnuz,
}
_GFLOAT = {
    "float16": gfloat_formats.format_info_binary16,
    "bfloat16": gfloat_formats.format_info_bfloat16,
    "float8_e4m3fn": gfloat_formats.format_info_ocp_e4m3,
    "float8_e5m2": gfloat_formats.format_info_ocp_e5m2,
    "float6_e3m2": gfloat_formats.format_info_ocp_e3m2,
    "float6_e2m3": gfloat_formats.format_info_ocp_e2m3,
    "float4_e2m1": gfloat_formats.format_info_ocp_e2m1,
}


def of_type(name: str) -> Floats:
    """Return the value of every code by ml_dtypes or numpy."""
    dtype = np.dtype(TYPES[name])
    width = 8 * dtype.itemsize
    words = np.arange(2**width, dtype=np.uint8 if width == 8 else np.uint16).view(dtype)
    if found := re.match(r"float([46])_", name):
        words = words[: 2 ** int(found[1])]
    with np.errstate(invalid="ignore"):
        return words.astype(np.float64)


def of_gfloat(name: str) -> Floats | None:
    """Return the value of every code by gfloat, or None where it has no such format."""
    if name not in _GFLOAT:
        return None
    with np.errstate(invalid="ignore"):
        return np.asarray(decode_ndarray(_GFLOAT[name], np.arange(2 ** _GFLOAT[name].k)), np.float64)


def floating(exponent: int, mantissa: int, bias: int, specials: str) -> Floats:
    """Return the value of every code of a float, by the definition of its fields."""
    code = np.arange(2 ** (exponent + mantissa))
    field, rest = code >> mantissa, code & (2**mantissa - 1)
    values = np.where(field == 0, rest, rest + 2**mantissa) * 2.0 ** (np.maximum(field, 1) - bias - mantissa)
    if specials == "ieee":
        values[field == 2**exponent - 1] = np.nan
        values[(2**exponent - 1) << mantissa] = np.inf
    elif specials == "fn":
        values[-1] = np.nan
    both = np.concatenate([values, -values])
    if specials == "fnuz":
        both[len(values)] = np.nan
    return both


def twos_complement(width: int, fraction: int = 0) -> Floats:
    """Return the value of every code of a signed whole number, divided by 2^fraction."""
    return (np.arange(2**width) + 2 ** (width - 1)) % 2**width * 2.0**-fraction - 2.0 ** (width - 1 - fraction)


def sign_magnitude(bits: int) -> Floats:
    """Return the value of every code of a sign and a whole number of `bits` bits."""
    return np.concatenate([np.arange(2.0**bits), -np.arange(2.0**bits)])


def adaptivfloat(exponent: int, mantissa: int) -> Floats:
    """Return the value of every code for a bias of 0, as algorithm 1 of Tambe et al. describes the number system."""
    code = np.arange(2 ** (exponent + mantissa))
    values = 2.0 ** (code >> mantissa) * (1 + (code & (2**mantissa - 1)) / 2.0**mantissa)
    values[0] = 0.0
    return np.concatenate([values, -values])


@lru_cache
def posit(width: int, exponent_bits: int) -> Floats:
    """Return the value of every code, NaN for NaR: by the definition of 2017, which negates negative words first."""
    half = [0.0, *(_positive_posit(code, width, exponent_bits) for code in range(1, 2 ** (width - 1)))]
    return np.array([*half, np.nan, *(-size for size in half[:0:-1])])


def _positive_posit(code: int, width: int, exponent_bits: int) -> float:
    digits = f"{code:0{width - 1}b}"
    run = len(digits) - len(digits.lstrip(digits[0]))
    regime = run - 1 if digits[0] == "1" else -run
    rest = digits[run + 1 :]
    power = int(rest[:exponent_bits].ljust(exponent_bits, "0") or "0", 2)
    fraction = rest[exponent_bits:]
    return math.ldexp(int("1" + fraction, 2), regime * 2**exponent_bits + power - len(fraction))


def posit_ties(width: int, exponent_bits: int) -> Floats:
    """Return what lies between neighbouring posits: those of one bit more, but for the one beyond each end."""
    return np.sort(posit(width + 1, exponent_bits)[1::2])[1:-1]


def between(values: Floats) -> Floats:
    """Return the numbers halfway between the neighbours among finite values: exact, as these are short."""
    ordered = np.unique(values[np.isfinite(values)])
    return (ordered[1:] + ordered[:-1]) / 2


def sweep(values: Floats, ties: Floats, dtype: type) -> Floats:
    """Return numbers that a rounding can get wrong, exact in `dtype`: values, ties, their neighbours, extremes."""
    limits = np.finfo(dtype)
    extremes = [0.0, limits.smallest_subnormal, limits.tiny, limits.max, limits.max / 2, 1e-9, np.inf]
    largest = np.abs(values[np.isfinite(values)]).max()
    extremes += [largest * factor for factor in (1.01, 1.1, 1.25, 1.5, 2, 3, 1000) if largest * factor < limits.max]
    edges = np.concatenate([values[np.isfinite(values)], ties, np.array([*extremes, *np.negative(extremes)])])
    edges = edges.astype(dtype)
    with np.errstate(all="ignore"):
        around = [np.nextafter(edges, dtype(end)) for end in (-np.inf, np.inf)]
    return np.concatenate([edges, *around]).astype(np.float64)


def nearest(numbers: Floats, values: Floats, ties: Floats | None = None) -> NDArray[np.int64]:
    """Return the code whose value is nearest to each number: beyond the ends the ends, of two the even code.

    `values` are those of all codes; `ties` lie between neighbours, halfway if they are not given.
    """
    finite = np.flatnonzero(np.isfinite(values))
    codes = finite[np.unique(values[finite], return_index=True)[1]]  # in the order of the values
    ends = between(values) if ties is None else ties
    index = np.searchsorted(ends, numbers, side="left")  # the number is at most ends[index]
    at = np.minimum(index, len(ends) - 1)
    tie = (index < len(ends)) & (numbers == ends[at])
    odd = codes[at] % 2 == 1
    return codes[index + (tie & odd)]


def beyond(numbers: Floats, values: Floats) -> NDArray[np.bool_]:
    """Return which numbers round past the largest value, if the values went on with the same spacing."""
    ordered = np.unique(np.abs(values[np.isfinite(values)]))
    limit = ordered[-1] + (ordered[-1] - ordered[-2]) / 2
    odd = np.flatnonzero(values == ordered[-1])[0] % 2 == 1
    return (np.abs(numbers) > limit) | (odd & (np.abs(numbers) == limit))


def cast(name: str) -> Callable[[Floats], Floats]:
    """Return the rounding to a format by numpy or ml_dtypes, of numbers that are exact in float32."""

    def rounded(numbers: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return numbers.astype(np.float32).astype(TYPES[name]).astype(np.float64)

    return rounded
