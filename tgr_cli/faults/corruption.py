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
from tgr_cli.faults.option_values import Strike
from tgr_cli.faults.patterns import Element, Pattern
from tgr_cli.faults.patterns.layout import Layout
from tgr_cli.faults.patterns.pattern import anchor_first
from tgr_cli.faults.scale_groups import FaultFree, ScaleGroups
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
    A fault strikes the elements of its `pattern`, all by the same choice of the fault model. If it strikes a `scale`
    instead, the choice is that of the scale's word, and all elements that share the scale are read with another one.
    """

    limit: RangeLimit
    model: FaultModel = field(default_factory=Flip)
    form: Format | None = None
    scales: Mapping[str, Scale] = field(default_factory=dict)
    max_abs: Mapping[str, float] = field(default_factory=dict)
    pattern: Pattern = field(default_factory=Element)
    strikes: Strike = "element"

    def format(self, dtype: torch.dtype) -> Format:
        """Return the format in which values of this dtype are struck."""
        return self.form or format_of(dtype)

    def word_format(self, dtype: torch.dtype) -> Format:
        """Return the format of the word that a fault changes: that of the values, or of their scale."""
        form = self.format(dtype)
        if self.strikes == "element":
            return form
        assert form.scale_format is not None, "refused before"
        return form.scale_format

    @property
    def reads_groups(self) -> bool:
        """Return whether a fault needs to know which elements share a scale."""
        return self.form is not None and (self.form.dynamic or self.strikes == "scale")

    @property
    def single(self) -> bool:
        """Return whether a fault strikes a single element."""
        return self.strikes == "element" and isinstance(self.pattern, Element)

    def elements(
        self, op: str, layout: Layout, groups: ScaleGroups | None, anchors_K: Tensor, footprints_K: Tensor
    ) -> Tensor:
        """Return the elements that faults at these anchors strike, [K, P]: the anchor first, -1 pads."""
        if self.strikes == "element":
            return self.pattern.elements(op, layout, anchors_K, footprints_K)
        assert groups is not None
        return anchor_first(anchors_K, groups.members(anchors_K))

    def struck(self, site: str, before: Tensor, upset: Upset, scale: Scale | None = None) -> Corrupted:
        """Return the values at one site after the upset; same dtype and device.

        Upset and scale, that of the values where their format has one, broadcast with them.
        """
        form, scale = self.format(before.dtype), scales.mapped(scale, lambda step: step.to(before.device))
        raw = form.decode(upset.applied(form.encode(before, scale)), scale, dtype=before.dtype)
        if upset.fraction is not None:
            value = upset.fraction.to(before.device)
            if value.nan_to_num(0.0).any():  # 0 needs no range
                value = value * self.max_abs[site]
            raw = torch.where(value.isnan(), raw, value.to(before.dtype))
        return Corrupted(raw, self.limit.apply(site, raw))

    def chosen(
        self, site: Site, elements: Tensor, before: Tensor, choices: Tensor, fault_free: FaultFree | None = None
    ) -> Corrupted:
        """Return the values of a site's elements after one choice of the fault model each; choices broadcast with them.

        Raises TgrError for a bit that the format lacks.
        """
        upset = self.model.upset(choices.to(before.device), self.word_format(before.dtype))
        scale = self._scale(site, elements, fault_free)
        if self.strikes == "scale":
            return self._rescaled(site.name, before, upset, scale)
        return self.struck(site.name, before, upset, scale)

    def every_choice(
        self, site: Site, elements: Tensor, before: Tensor, choices: Tensor, fault_free: FaultFree | None = None
    ) -> Corrupted:
        """Return the values of a site's elements after each of several choices, [..., V].

        `choices` [..., V] broadcast with the values.
        """
        assert self.strikes == "element"
        scale = scales.mapped(self._scale(site, elements, fault_free), lambda step: step[..., None])
        return self.struck(site.name, before[..., None], self.model.upset(choices, self.format(before.dtype)), scale)

    def _scale(self, site: Site, elements: Tensor, fault_free: FaultFree | None) -> Scale | None:
        """Return the scale of elements: that of the site or tensor, or one fitted to the values that share it."""
        if site.name in self.scales or self.form is None or not self.form.dynamic:
            return scales.at(self.scales.get(site.name), site.shape, elements)
        assert fault_free is not None, "its scales are fitted to the values beside"
        return fault_free.groups.fitted(self.form, elements, fault_free.read)

    def _rescaled(self, site: str, before: Tensor, upset: Upset, scale: Scale | None) -> Corrupted:
        """Return values whose words stay, and are read with the scale that the upset makes of theirs."""
        form, words_form = self.format(before.dtype), self.word_format(before.dtype)
        assert scale is not None
        step = words_form.decode(upset.applied(words_form.encode(scale.step)), dtype=scale.step.dtype)
        if upset.fraction is not None:
            step = torch.where(upset.fraction.isnan(), step, upset.fraction.to(step.dtype))
        raw = form.decode(form.encode(before, scale), Scale(step, scale.zero), dtype=before.dtype)
        return Corrupted(raw, self.limit.apply(site, raw))
