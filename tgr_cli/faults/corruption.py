"""Computes faulty values: encodes them, changes the code word (the upset), decodes it, and applies the range limit.

Engines, importance sampling, exhaustive campaigns and saliency all use this. Two flip on their own: `tgr flip`, which
shows a value, and training/stimulated.py, which flips all values of a layer in place with masks drawn from a table.

Suffixes: V choices.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from tgr_cli.faults import scales
from tgr_cli.faults.fault_models import FaultModel, Flip
from tgr_cli.faults.formats import Format, Scale, format_of
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.patterns import Element, Pattern
from tgr_cli.faults.sites import Site
from tgr_cli.faults.upset import Upset


class Corrupted(NamedTuple):
    """Values after the upset (`raw`) and after the range limit (`seen` by later operations), in the model's dtype."""

    raw: Tensor
    seen: Tensor


@dataclass(frozen=True)
class Corruption:
    """The corruption of values in a campaign with this range limit and fault model.

    Values are stored in `form`, None for their own dtype, with the scale of their site if it has one, which broadcasts
    with the site's shape. `max_abs` is each site's largest absolute value, for fault models that need it.
    A fault strikes the elements of its `pattern`, all by the same choice of the fault model.
    """

    limit: RangeLimit
    model: FaultModel = field(default_factory=Flip)
    form: Format | None = None
    scales: Mapping[str, Scale] = field(default_factory=dict)
    max_abs: Mapping[str, float] = field(default_factory=dict)
    pattern: Pattern = field(default_factory=Element)

    def format(self, dtype: torch.dtype) -> Format:
        """Return the format in which values of this dtype are struck."""
        return self.form or format_of(dtype)

    def struck(self, site: str, before: Tensor, upset: Upset, scale: Scale | None = None) -> Corrupted:
        """Return the values at one site after the upset; same dtype and device.

        Upset and scale, that of the values where their format has one, broadcast with them.
        """
        form = self.format(before.dtype)
        raw = form.decode(upset.applied(form.encode(before, scale)), scale, dtype=before.dtype)
        if upset.fraction is not None:
            value = upset.fraction.to(before.device)
            if value.nan_to_num(0.0).any():  # 0 needs no range
                value = value * self.max_abs[site]
            raw = torch.where(value.isnan(), raw, value.to(before.dtype))
        return Corrupted(raw, self.limit.apply(site, raw))

    def chosen(self, site: Site, elements: Tensor, before: Tensor, choices: Tensor) -> Corrupted:
        """Return the values of a site's elements after one choice of the fault model each; choices broadcast with them.

        Raises TgrError for a bit that the format lacks.
        """
        upset = self.model.upset(choices.to(before.device), self.format(before.dtype))
        return self.struck(site.name, before, upset, self._scale(site, elements))

    def every_choice(self, site: Site, elements: Tensor, before: Tensor, choices: Tensor) -> Corrupted:
        """Return the values of a site's elements after each of several choices, [..., V].

        `choices` [..., V] broadcast with the values.
        """
        scale = self._scale(site, elements[..., None])
        return self.struck(site.name, before[..., None], self.model.upset(choices, self.format(before.dtype)), scale)

    def _scale(self, site: Site, elements: Tensor) -> Scale | None:
        return scales.at(self.scales.get(site.name), site.shape, elements)
