"""Keeps a finished campaign from being replaced by one of other faults, which has the same default place."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tgr_cli.artifacts import outputs, store
from tgr_cli.artifacts.facts import lasting
from tgr_cli.campaign.config import Config
from tgr_cli.campaign.identity import drawn_with
from tgr_cli.errors import TgrError

# What is measured. How precisely (number, scheme, seed) may change: the estimates are then of the same figures.
MEASURED = (
    "fault_model",
    "pattern",
    "strike",
    "granularity",
    "lasting",
    "encode",
    "limit",
    "targets",
    "label",
    "all_images",
)
USUAL = {field.name: field.default for field in fields(Config)}  # earlier versions recorded less


def refuse_other_faults(output: Path, kind: str, config: Config) -> None:
    """Raise TgrError if `output` is the default place and holds a campaign that measured something else.

    --out names a place, and --restart says that what is there may go: both are obeyed.
    """
    if config.out or config.restart or outputs.artifact_kind(output) != kind:
        return
    there = dict(store.describe(output)[1].config)
    there["lasting"] = lasting(there)
    here = drawn_with(config)
    if differing := _differing(there, here):
        then, now = (
            ", ".join(f"{name} {value}" for name, *values in differing for value in [values[at]]) for at in (0, 1)
        )
        refuse(output, f"with {then}", now)
    if there.get("sampling") != "list" and here["sampling"] == "list":
        refuse(output, "of faults that were drawn", "those that --faults lists")


def refuse(output: Path, there: str, here: str) -> None:
    """Raise TgrError that a finished campaign, `there`, would be replaced by this one, `here`; both in words."""
    raise TgrError(
        f"{output} holds a campaign {there}, and this one has {here}; write this one to another file with --out, or "
        "replace that one with --restart"
    )


def _differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the options that differ, each with its value there and here, in words."""
    found = []
    for name in MEASURED:
        then, now = there.get(name, USUAL[name]), here.get(name, USUAL[name])
        if then == now or (name == "limit" and "format" in (then, now)):  # which follows from the format
            continue
        found.append((f"--{name.replace('_', '-')}", _said(then), _said(now)))
    return found


def _said(value: Any) -> str:
    return {None: "not given", False: "not given", True: "given"}.get(value, str(value))
