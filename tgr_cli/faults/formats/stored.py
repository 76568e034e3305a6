"""The integers that a quantised model stores: a fault strikes the stored word itself, and nothing is rounded."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.faults.formats.format import Scale
from tgr_cli.faults.formats.native import Native, format_of


@dataclass(frozen=True)
class Stored(Native):
    """The integers of a tensor: two's complement, or unsigned. The model's own operations turn them into real values.

    A scale, where the model has one, is another tensor. Words of 8 bits are `bounded`: quantisers fit the scale so that
    the tensor uses all of them.
    """

    @property
    def bounded(self) -> bool:  # type: ignore[override]
        return self.width <= 8

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"whole numbers of {self.width} bits, as a quantised model stores them"

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        assert values.dtype == self.dtype, "words are read, not rounded"
        return values.view(self.integer)


def stored_format(dtype: torch.dtype) -> Stored:
    """Return the format of integers of this dtype; raises TgrError for one that torch cannot compute with."""
    own = format_of(dtype)
    return Stored(f"stored {own.name}", own.dtype, own.sign, own.exponent, own.mantissa)


def is_stored(dtype: torch.dtype) -> bool:
    """Return whether values of this dtype are integers, which a quantised model stores and does not compute with."""
    return not (dtype.is_floating_point or dtype.is_complex or dtype is torch.bool)
