"""The identity of a plan: the model, data and settings that determine it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.provenance import Provenance, flat, normalised
from tgr_cli.campaign.config import GATES, Config
from tgr_cli.campaign.differences import differences
from tgr_cli.errors import TgrError
from tgr_cli.faults.fault_models import fault_model_named
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.patterns import pattern_of

DRAWING = (
    "sampling",
    "granularity",
    "injections",
    "images_per_fault",
    "seed",
    "pilot",
    "target_ci",
    "max_injections",
)  # settings of the sampling
RUNNING = ("engine", "batch_size", "device", "confidence")  # settings that a plan does not depend on
FORMATS = ("format", "weight_format", "encode")
# Settings that affect neither the faults nor the results.
AROUND = ("jobs", "shard", "restart", "plan_only", "exhaustive", "surface", "verify", *GATES)


def drawn_with(config: Config) -> dict[str, Any]:
    """Return the settings that a plan depends on, without those about running, checking or writing it."""
    values: dict[str, Any] = normalised(config)
    unused = {"pattern_file"}
    if config.faults is not None:  # a list is not sampled
        unused |= set(DRAWING)
    if not config.by_map:  # campaigns from before feature maps could be struck record no granularity
        unused.add("granularity")
    if not config.needs_pilot:
        unused.add("pilot")
    if not config.persists:
        unused.add("images_per_fault")
    unused |= {"target_ci", "max_injections"} if config.precision is None else {"injections"}
    if config.precision is None:  # otherwise the confidence determines the number of faults
        unused.add("confidence")
    elsewhere = {*AROUND, *RUNNING} - {"confidence"}
    kept = {name: value for name, value in values.items() if name not in elsewhere | unused}
    kept["fault_model"] = fault_model_named(config.fault_model).name  # a file's content, not its path
    kept["pattern"] = pattern_of(config.pattern, config.pattern_file).name
    for name in FORMATS:  # one format has several names
        kept[name] = None if kept[name] is None else format_named(kept[name]).name
    return kept | {"lasting": config.persists} | ({"sampling": "list"} if config.faults else {})


def run_with(config: Config) -> dict[str, Any]:
    """Return the settings, besides those of the plan, that results depend on."""
    return {name: getattr(config, name) for name in RUNNING}


def refuse_other(path: Path, drawn: Provenance, ours: Mapping[str, Any]) -> None:
    """Raise TgrError if a plan was drawn for another model, data or settings than `ours`, naming the differences.

    How it was drawn (scheme, numbers, seed) is not compared.
    """
    theirs = {name: value for name, value in identity(drawn).items() if name in ours}
    if differing := differences(theirs, ours):
        raise TgrError(f"{path} was drawn with {differing} now; give the same model, data and settings")


def identity(facts: Provenance | Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity as a flat mapping with dotted names, from a provenance or its fields."""
    field = facts.get if isinstance(facts, Mapping) else lambda name: getattr(facts, name)
    extra = field("extra") or {}
    values = {
        **(config := field("config") or {}),
        "lasting": lasting(config),
        **{name: field(name) for name in ("model", "classes", "inputs")},
        **{name: extra.get(name) for name in ("dataset", "used", "pool", "preprocessing", "calibration")},
    }
    return flat(values)
