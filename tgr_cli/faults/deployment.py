"""A network deployed in a number format: every site's output, and every weight, is rounded to what the format holds.

Suffixes: B batch, N neurons of one image's share.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tgr_cli.faults import scales
from tgr_cli.faults.formats import Format, Scale
from tgr_cli.faults.sites import Site
from tgr_cli.faults.straight_through import straight


@dataclass(frozen=True)
class Deployment:
    """The format of the sites' outputs and that of the weights, each with its scales; None for unrounded values.

    `scales` are those of the sites by name; the scale of a dynamic format is fitted to each image's values instead.
    `weight_scales` are those of the rounded tensors by name. Each broadcasts with the values that it is for, the whole
    output of a site or the tensor, and is None for a format without scales.
    """

    form: Format | None = None
    scales: Mapping[str, Scale | None] = field(default_factory=dict)
    weight_form: Format | None = None
    weight_scales: Mapping[str, Scale | None] = field(default_factory=dict)

    def output(self, site: Site, channel_axis: int, values: Tensor) -> Tensor:
        """Return values of a site rounded to the format; same shape and dtype.

        For a dynamic format they are its output as one row an image, [B, N]. `channel_axis` is that of the channels in
        one image's share, counted from the end (negative).
        """
        assert self.form is not None
        return self.form.rounded(values, self.scale(site, channel_axis, values))

    def scale(self, site: Site, channel_axis: int, shares_BN: Tensor) -> Scale | None:
        """Return the scale of a site's output, which broadcasts with `shares_BN`."""
        form = self.form
        if form is None or not form.dynamic:
            return self.scales.get(site.name)
        if form.shared != "block":
            return scales.of_rows(form, shares_BN)
        share_shape = site.shape or (1,)
        scale = scales.of_blocks(form, shares_BN.reshape(-1, *share_shape), channel_axis)
        if scale is None:
            return None
        return Scale(*(None if part is None else part.reshape(shares_BN.shape) for part in (scale.step, scale.zero)))  # type: ignore[arg-type]

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return rounded copies of those of the tensors that are rounded, by name."""
        if self.weight_form is None:
            return {}
        form = self.weight_form
        return {name: form.rounded(tensors[name], scale).clone() for name, scale in self.weight_scales.items()}


class RoundedOperation:
    """An operation of a graph whose result is then rounded; `name` is what it is called among operations."""

    def __init__(self, operation: Callable[..., Any], name: str, rounding: Callable[[Tensor], Tensor]) -> None:
        self.operation, self.operation_name, self.rounding = operation, name, rounding
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        value: Tensor = self.operation(*args, **kwargs)
        if value.requires_grad:
            return straight(value, _like(self.rounding(value.detach()), value))
        return _like(self.rounding(value), value)


def _like(rounded: Tensor, value: Tensor) -> Tensor:
    """Return the rounded value with the strides of the value: they select the kernels of later operations."""
    return rounded if rounded.stride() == value.stride() else torch.empty_like(value).copy_(rounded)
