"""Where a campaign departs from a paper's protocol."""

from collections.abc import Mapping
from typing import Any

from tgr_cli import defaults
from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.naming import bare, typed
from tgr_cli.published.protocols import PROTOCOLS

# Settings that change how precise an estimate is, and not what is estimated.
PRECISION = ("sampling", "injections", "target_ci", "confidence")
UNRECORDED = {  # what campaigns did that do not record it
    "fault_model": defaults.FAULT_MODEL,
    "pattern": defaults.PATTERN,
    "strike": defaults.STRIKE,
    "target": defaults.TARGET,
    "granularity": defaults.GRANULARITY,
}


def deviations(campaign: Provenance, protocol: str) -> dict[str, tuple[Any, Any]]:
    """Return the settings of `injections` that are not those of a protocol: as they are, and as published, by name."""
    published = PROTOCOLS[protocol].options["inject"]
    own = {name: _setting(campaign.config, name) for name in published}
    return {name: (own[name], value) for name, value in published.items() if own[name] != value}


def protocol_in_words(campaign: Provenance) -> str:
    """Return the protocol that `injections` follow, such as "NeurIPS 2023, but --injections 64"; else "own"."""
    for name, paper in PROTOCOLS.items():
        departing = deviations(campaign, name)
        if departing.keys() <= set(PRECISION):
            said = ", ".join(typed(option, own) for option, (own, _) in departing.items())
            return f"{paper.called}, but {said}" if said else paper.called
    return "own"


def in_words(departing: Mapping[str, tuple[Any, Any]]) -> str:
    """Return deviations as an enumeration, such as "--limit zero (published: clamp)"; "" if there are none."""
    said = [f"{typed(name, own)} (published: {bare(value)})" for name, (own, value) in departing.items()]
    return ", ".join(said)


def _setting(config: Mapping[str, Any], name: str) -> Any:
    return lasting(config) if name == "lasting" else config.get(name, UNRECORDED.get(name))
