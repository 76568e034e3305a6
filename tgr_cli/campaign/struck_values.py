"""How a campaign stores and corrupts the values that it strikes: number format, scales, fault model, range limit."""

from dataclasses import dataclass, replace
from typing import cast

import torch

from tgr_cli.campaign import ranges
from tgr_cli.campaign.config import Config
from tgr_cli.campaign.ranges import SiteRanges
from tgr_cli.campaign.subject import Subject
from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.fault_models import Choices, fault_model_named
from tgr_cli.faults.formats import Format, Scale, format_named, format_of
from tgr_cli.faults.limits import UNLIMITED, RangeLimit
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.option_values import LimitMode


@dataclass(frozen=True)
class StruckValues:
    """The corruption of a campaign's values, its numbered choices, and the ranges that it rests on."""

    corruption: Corruption
    choices: Choices
    ranges: SiteRanges


def choices_of(config: Config, dtype: torch.dtype) -> Choices:
    """Return what a fault can do to a value of this campaign; raises TgrError for settings that do not suit."""
    if config.format or config.weight_format:
        raise TgrError("--format and --weight-format cannot be injected into yet; use --encode")
    name = config.encode or (config.weight_format if config.target == "weight" else config.format)
    if config.target in ("bias", "buffer") and config.encode is None:
        name = None  # these stay in the model's own format
    form = format_named(name) if name else format_of(dtype)
    if form.shared == "block" or form.dynamic:
        raise TgrError(
            f"{form.name} shares scales among neighbours, and faults in it cannot be drawn yet; use another format"
        )
    return Choices(fault_model_named(config.fault_model), form)


def with_limit(config: Config, choices: Choices, subject: Subject) -> Config:
    """Return the settings with --limit format where the number format holds nothing beyond its range."""
    form = choices.form
    if form.bounded and config.limit != "format":
        subject.reporter.note(
            f"{form.name} holds nothing beyond the range that it was fitted to: no range limit is applied"
        )
        return replace(config, limit="format")
    if config.limit == "format" and not form.bounded:
        raise TgrError(f"--limit format is for formats with a range of their own, and {form.name} has none; use clamp")
    return config


def struck_values(config: Config, subject: Subject, network: AnyNetwork, choices: Choices) -> StruckValues:
    """Return the corruption of the campaign's values; missing ranges are profiled."""
    form, found = choices.form, SiteRanges()
    encoded = bool(form.shared)
    if config.limit not in UNLIMITED or encoded or choices.model.needs_ranges:
        if config.target == "neuron":
            found = ranges.of_neurons(subject, network, path=config.ranges, targets=config.targets)
        else:
            found = ranges.of_tensors(network, config.target)
    limit = RangeLimit(cast(LimitMode, config.limit), found.max_abs if config.limit not in UNLIMITED else {})
    scales = {name: _fitted(form, found, name, network) for name in found.low} if encoded else {}
    corruption = Corruption(
        limit,
        choices.model,
        None if form == format_of(subject.dtype) else form,
        {name: scale for name, scale in scales.items() if scale is not None},
        found.max_abs,
    )
    return StruckValues(corruption, choices, found)


def _fitted(form: Format, found: SiteRanges, name: str, network: AnyNetwork) -> Scale | None:
    low, high = (torch.tensor(side[name], device=network.device) for side in (found.low, found.high))
    return form.fit(low, high)
