"""The range limit: bounds a faulty value before the rest of the network uses it.

It changes only the faulty element at the faulty site. Ranger limits whole feature maps instead and is a mitigation,
which this is not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.errors import TgrError, one_of
from tgr_cli.faults.option_values import MODES, LimitMode

UNLIMITED = ("none", "format")


@dataclass(frozen=True)
class RangeLimit:
    """`clamp` to ± the site's largest absolute value, NaN to the upper bound; `zero` values outside; or `none`.

    `format` is `none` for number formats that hold nothing outside the site's range, so that no limit is needed.

    The papers' testbed always clamps (NeurIPS 2023, section 5.2). `max_abs` maps a site's name to its bound and is
    empty for `none`. The bound of a neuron's site is profiled on images; that of a tensor is its own largest absolute
    value.
    """

    mode: LimitMode
    max_abs: Mapping[str, float]

    def __post_init__(self) -> None:
        one_of("--limit", self.mode, MODES)

    @classmethod
    def of_tensors(cls, mode: LimitMode, tensors: Mapping[str, Tensor]) -> "RangeLimit":
        """Return the limit that bounds each tensor to ± its own largest absolute value, by tensor name.

        Raises TgrError for a tensor with values that are not finite.
        """
        if mode in UNLIMITED:
            return cls(mode, {})
        max_abs = {name: float(tensor.abs().max()) for name, tensor in tensors.items()}
        for name, largest in max_abs.items():
            if not math.isfinite(largest):
                raise TgrError(
                    f'the tensor "{name}" holds values that are not finite; check the weights, or use --limit none'
                )
        return cls(mode, max_abs)

    def apply(self, site: str, values_F: Tensor) -> Tensor:
        """Return the faulty values after the limit; same shape and dtype.

        The bound is the site's largest absolute value, rounded to the dtype of the values.
        """
        if self.mode in UNLIMITED:
            return values_F
        largest = self.max_abs[site]
        if not values_F.is_floating_point():  # the lowest integer has no positive counterpart
            largest = min(int(largest), torch.iinfo(values_F.dtype).max)
        bound = torch.tensor(largest, dtype=values_F.dtype, device=values_F.device)
        if self.mode == "zero":
            return values_F.masked_fill(~((values_F >= -bound) & (values_F <= bound)), 0.0)
        return torch.nan_to_num(values_F, nan=bound.item()).clamp(-bound, bound)
