"""The change that a fault makes to the code word of a value.

Suffixes: F faults, B bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.faults.bits import Format, masks


@dataclass(frozen=True)
class Upset:
    """The bits to flip, as set bits of `mask`: integers of the format's width, broadcast against the values."""

    mask: Tensor

    @classmethod
    def of_bits(cls, bits_F: Tensor, form: Format) -> "Upset":
        """Return the upset that flips one bit of each value; raises TgrError for a bit that the format lacks."""
        return cls(masks(bits_F, form))

    @classmethod
    def together(cls, bits: Sequence[int], form: Format) -> "Upset":
        """Return the upset that flips several distinct bits of one value at once."""
        assert len(set(bits)) == len(bits), "bits that flip twice"
        return cls(masks(torch.tensor(bits, dtype=torch.int64), form).sum(dtype=form.integer))

    @classmethod
    def every_bit(cls, form: Format) -> "Upset":
        """Return all single-bit upsets; the mask has shape [B]."""
        return cls.of_bits(torch.arange(form.width), form)

    def applied(self, values: Tensor) -> Tensor:
        """Return the values with these bits flipped; same dtype and device.

        The flip is an exclusive or on integers, so NaN payloads and the sign of zero are preserved.
        """
        return (values.view(self.mask.dtype) ^ self.mask.to(values.device)).view(values.dtype)
