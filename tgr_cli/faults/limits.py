"""The range limit: what a struck value is held to before the rest of the network sees it.

It acts on the struck value at the struck site alone. Limiting whole feature maps is Ranger, a mitigation, and another
thing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.errors import TgrError, one_of
from tgr_cli.faults.choices import MODES, LimitMode


@dataclass(frozen=True)
class RangeLimit:
    """`clamp` to ± the site's largest absolute value, NaN to + that value; `zero` what lies outside; or `none`.

    The papers' testbed always clamps (NeurIPS 2023, section 5.2). `max_abs` holds the limit of every site by name and
    is empty for `none`. A neuron's site is held to what it took on images, a tensor to what it holds.
    """

    mode: LimitMode
    max_abs: Mapping[str, float]

    def __post_init__(self) -> None:
        one_of("--limit", self.mode, MODES)

    @classmethod
    def of_tensors(cls, mode: LimitMode, tensors: Mapping[str, Tensor]) -> "RangeLimit":
        """Return the limit that holds each tensor, by its name, to ± its own largest absolute value.

        Raises TgrError for a tensor whose values are not finite.
        """
        if mode == "none":
            return cls(mode, {})
        max_abs = {name: float(tensor.abs().max()) for name, tensor in tensors.items()}
        for name, largest in max_abs.items():
            if not math.isfinite(largest):
                raise TgrError(
                    f'the tensor "{name}" holds values that are not finite; check the weights, or use --limit none'
                )
        return cls(mode, max_abs)

    def apply(self, site: str, values_F: Tensor) -> Tensor:
        """Return the struck values as the network is to see them; same shape and dtype.

        The bound is the site's max-abs, rounded to the values' own format.
        """
        if self.mode == "none":
            return values_F
        bound = torch.tensor(self.max_abs[site], dtype=values_F.dtype, device=values_F.device)
        if self.mode == "zero":
            return values_F.masked_fill(~(values_F.abs() <= bound), 0.0)
        return torch.nan_to_num(values_F, nan=bound.item()).clamp(-bound, bound)
