"""Rounding of float32 tensors to fewer bits: to nearest, ties to even. Built of whole-tensor operations."""

import torch
from torch import Tensor

from tgr_cli.errors import TgrError


def single(values: Tensor) -> Tensor:
    """Return floating-point values as float32, so that rounding them further gives what rounding at once would give.

    Rounding a float64 twice to nearest can differ from rounding it once. It cannot if the first rounding is "to odd":
    towards zero, and then, if that was inexact, the last bit is set. The second must keep at least two bits less.
    Source: Boldo and Melquiond, "When double rounding is odd", IMACS 2005.
    """
    if values.dtype != torch.float64:
        return values.to(torch.float32)
    near = values.to(torch.float32)
    inexact = near.double() != values
    beyond = near.double().abs() > values.abs()
    bits = near.view(torch.int32) - beyond.to(torch.int32)
    return torch.where(inexact, bits | 1, bits).view(torch.float32)


def nearest(values: Tensor, mantissa: int, smallest_normal: float) -> Tensor:
    """Round float32 `values` in place to `mantissa` bits behind the leading one, and return them; -0 becomes 0.

    Values below `smallest_normal` keep its spacing. For at most 21 bits and magnitudes up to 2^(103 + mantissa); NaN
    stays. Adding and subtracting 1.5 · 2^(23 - mantissa) times the power of two below a value drops its last bits: the
    float32 addition rounds them, to nearest with ties to even, and the half keeps a negative value in the same binade.
    """
    power = values.view(torch.int32).bitwise_and(0x7F800000).view(torch.float32)
    power.clamp_(min=smallest_normal).mul_(1.5 * 2.0 ** (23 - mantissa))
    return values.add_(power).sub_(power)


def shortened(values: Tensor, mantissa: int) -> Tensor:
    """Return float32 `values` rounded to `mantissa` bits, with the exponents, infinities and NaN of float32.

    Beyond the largest number lies infinity: the carry out of the mantissa is the next exponent.
    """
    drop = 23 - mantissa
    bits = values.view(torch.int32)
    kept = (bits >> drop).bitwise_and_(1).add_(bits).add_((1 << (drop - 1)) - 1).bitwise_and_(-(1 << drop))
    return torch.where(values.isnan(), values, kept.view(torch.float32))


def whole(values: Tensor, low: "float | Tensor", high: "float | Tensor") -> Tensor:
    """Round `values` in place to whole numbers from `low` to `high`, and return them; NaN and -0 become 0."""
    return values.nan_to_num_(nan=0.0).round_().clamp_(low, high).add_(0.0)  # type: ignore[arg-type]


def largest(low: Tensor, high: Tensor) -> Tensor:
    """Return the largest absolute value of groups from `low` to `high`."""
    return torch.maximum(low.abs(), high.abs())


def exponent(values: Tensor) -> Tensor:
    """Return ⌊log2⌋ of finite values above 0, and -150, below all float32 numbers, for 0; dtype int32."""
    wide = values if values.dtype == torch.float64 else values.to(torch.float32)
    return torch.where(wide > 0, torch.frexp(wide).exponent - 1, -150)


def power_of_two(exponents: Tensor) -> Tensor:
    """Return 2^exponent as float32, for exponents (int32) from -149 to 127."""
    normal = (exponents + 127) << 23
    subnormal = torch.ones_like(exponents) << (exponents + 149).clamp(0, 22)
    return torch.where(exponents >= -126, normal, subnormal).view(torch.float32)


def require_finite(name: str, low: Tensor, high: Tensor) -> None:
    """Raise TgrError if a range that a format's scale is to be fitted to is not finite in float32."""
    if not bool((low.float().isfinite() & high.float().isfinite()).all()):
        raise TgrError(
            f"{name} cannot be fitted to values that are not all finite in float32; find where they come from, "
            'as with "tgr profile-ranges"'
        )
