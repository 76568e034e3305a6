"""How a campaign stores and corrupts the values that it strikes: number format, scales, fault model, range limit."""

from dataclasses import dataclass, replace
from typing import cast

import torch

from tgr_cli.campaign import ranges
from tgr_cli.campaign.config import Config
from tgr_cli.campaign.ranges import SiteRanges
from tgr_cli.campaign.subject import Subject
from tgr_cli.errors import TgrError
from tgr_cli.faults import deploying, scales
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.fault_models import Choices, FaultModel, fault_model_named
from tgr_cli.faults.formats import Format, Native, Scale, format_named, format_of
from tgr_cli.faults.formats.block import Block
from tgr_cli.faults.formats.stored import Stored
from tgr_cli.faults.limits import UNLIMITED, RangeLimit
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.option_values import LimitMode, Strike
from tgr_cli.faults.patterns import Pattern
from tgr_cli.guards.encoding import Encoding
from tgr_cli.guards.guard import guards_of


@dataclass(frozen=True)
class StruckValues:
    """The corruption of a campaign's values, its numbered choices, and the ranges that it rests on."""

    corruption: Corruption
    choices: Choices
    ranges: SiteRanges


def choices_of(config: Config, subject: Subject) -> Choices:
    """Return what a fault can do to a value of this campaign; raises TgrError for settings that do not suit."""
    _refuse_changed_codes(config, subject)
    form, model = format_of_values(config, subject), fault_model_named(config.fault_model)
    if config.target == "neuron" and config.encode:
        deploying.refuse(form, "--encode")
    if config.target == "neuron" and config.format and isinstance(form, Block) and not form.refits:
        raise TgrError(
            f"--format is {form.name}, whose shared exponents cannot be told from values that are rounded already, as "
            f"a word holds a whole power of two more; use --encode {form.name}, or another format"
        )
    if isinstance(form, Stored):
        _refuse_real_values(config, model, form)
    if config.strike == "element":
        return Choices(model, form)
    if not form.shared or form.scale_format is None:
        raise TgrError(
            f"--strike is scale, and {form.name} has none; name a format with a scale by --format, --weight-format or "
            "--encode, as int8, or leave --strike out"
        )
    if model.needs_ranges:
        raise TgrError(f"--strike is scale, and {model.name} draws a value, not a scale; use another --fault-model")
    return Choices(model, form.scale_format)


def _refuse_changed_codes(config: Config, subject: Subject) -> None:
    """Raise TgrError for settings that change more bits of an encoded value than the fault does, before it is read."""
    codes = sorted({guard.code for guard in guards_of(subject.loaded.model) if isinstance(guard, Encoding)})
    if config.target == "neuron" or not codes:
        return
    checked = f"{subject.name} checks the words of its tensors by {' and '.join(codes)} as they are read"
    if config.encode:
        raise TgrError(f"{checked}, and --encode {config.encode} strikes words of another format; leave --encode out")
    if config.limit not in UNLIMITED:
        raise TgrError(
            f"{checked}, and --limit {config.limit} changes a struck word before that check, which then finds other "
            "bits than were flipped; use --limit none"
        )


def _refuse_real_values(config: Config, model: FaultModel, form: Stored) -> None:
    """Raise TgrError for settings that need the real values of integers that a quantised model stores."""
    if model.needs_ranges:
        raise TgrError(
            f"--fault-model {model.name} draws a real value, and the model's {config.target} tensors hold words "
            f"({form.name}); use --fault-model random"
        )


def format_of_values(config: Config, subject: Subject) -> Format:
    """Return the format in which struck values are stored."""
    stored = subject.stored_format(config.target, config.targets)
    if stored and config.encode:
        raise TgrError(
            f"--encode is {config.encode}, and the model's {config.target} tensors are words already ({stored.name}); "
            "leave --encode out"
        )
    if config.encode:
        return encoding(config.encode, "--encode")
    deployed = {"neuron": subject.form, "weight": subject.weight_form}.get(config.target)
    return stored or deployed or format_of(subject.dtype)


def encoding(text: str, option: str) -> Format:
    """Return the format of this name, for struck values alone; raises TgrError, in the name of `option`, if none."""
    form = format_named(text, option)
    if isinstance(form, Native) and not form.exponent:
        raise TgrError(
            f"{option} is {form.name}, which holds whole numbers alone, without a scale: values would be rounded to "
            "them; use a float, fixed, or an integer format with a scale, as int8"
        )
    return form


def with_limit(config: Config, choices: Choices, subject: Subject) -> Config:
    """Return the settings with --limit format where the number format holds nothing beyond its range."""
    form = format_of_values(config, subject)
    if config.strike == "scale":  # another scale is another range
        if config.limit == "format":
            raise TgrError("--limit is format, and --strike scale changes what the format's range is; use clamp")
        return config
    if form.bounded and config.limit != "format":
        subject.reporter.note(
            f"{form.name} holds nothing beyond the range that it was fitted to: no range limit is applied"
        )
        return replace(config, limit="format")
    if config.limit == "format" and not form.bounded:
        raise TgrError(f"--limit format is for formats with a range of their own, and {form.name} has none; use clamp")
    config.refuse_unlimited_dloss()
    return config


def struck_values(
    config: Config, subject: Subject, network: AnyNetwork, choices: Choices, pattern: Pattern
) -> StruckValues:
    """Return the corruption of the campaign's values; missing ranges are profiled."""
    form, found = format_of_values(config, subject), SiteRanges()
    neurons = config.target == "neuron"
    scaled = bool(form.shared and config.encode and not (neurons and form.dynamic))
    if config.limit not in UNLIMITED or scaled or choices.model.needs_ranges:
        if neurons:
            found = ranges.of_neurons(subject, network, path=config.ranges, targets=config.targets)
        else:
            found = ranges.of_tensors(network, config.target)
    elif config.ranges is not None:
        subject.reporter.note(
            f"--ranges {config.ranges} is not used: no limit applies, and the scales of --format rest on the run's"
        )
    corruption = Corruption(
        RangeLimit(cast(LimitMode, config.limit), found.max_abs if config.limit not in UNLIMITED else {}),
        choices.model,
        None if form == format_of(subject.dtype) else form,
        fitted(form, found, network, neurons=neurons) if scaled else _deployed(config, network),
        found.max_abs,
        pattern,
        cast(Strike, config.strike),
    )
    return StruckValues(corruption, choices, found)


def _deployed(config: Config, network: AnyNetwork) -> dict[str, Scale]:
    """Return the scales with which the network is deployed, of the struck sites; empty if it is not, or has none."""
    if network.deployment is None or config.target not in ("neuron", "weight"):
        return {}
    own = network.deployment.scales if config.target == "neuron" else network.deployment.weight_scales
    return {name: scale for name, scale in own.items() if scale is not None}


def fitted(form: Format, found: SiteRanges, network: AnyNetwork, *, neurons: bool = True) -> dict[str, Scale]:
    """Return the scale of each site, fitted to its range, or of each tensor."""
    found_scales = {}
    for name, low in found.low.items():
        if neurons:
            ends_2 = torch.tensor([low, found.high[name]], device=network.device, dtype=network.dtype)
            scale = deploying.fitted(form, name, *ends_2)
        else:
            scale = scales.of_weight(form, network.parameters[name], network.output_axis(name))
        if scale is not None:
            found_scales[name] = scale
    return found_scales
