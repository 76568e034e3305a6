"""The names that a command's options give, checked before torch is loaded."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tgr_cli.data.preprocessing import PreprocessingOptions
from tgr_cli.faults import option_names
from tgr_cli.models import names


def refuse_unknown(options: Mapping[str, Any]) -> None:
    """Raise TgrError for a format, fault model, pattern, kind of site, model, device or preprocessing that is unknown.

    `options` are a command's, by the names of its parameters. Options with the same name mean the same everywhere,
    except --model: that of commands without --targets or --device may be a language model.
    """
    for name in ("format", "weight_format", "encode"):
        if isinstance(text := options.get(name), str):
            option_names.known_format(text, f"--{name.replace('_', '-')}")
    if (model := options.get("fault_model")) is not None and not option_names.is_file(model):
        option_names.known_fault_model(model)
    if (pattern := options.get("pattern")) is not None:
        option_names.known_pattern(pattern)
    if (targets := options.get("targets")) is not None:
        option_names.refuse_unknown_targets(part.strip() for part in targets.split(","))
    if "interpolation" in options:
        PreprocessingOptions(**{field.name: options.get(field.name) for field in fields(PreprocessingOptions)})
    if (device := options.get("device")) is not None:
        names.refuse_unknown_device(device)
    if (network := options.get("model")) is not None and options.keys() & {"targets", "device"}:
        names.refuse_unknown(network)
        names.refuse_absent_module(network)
        names.refuse_absent_file(network)
