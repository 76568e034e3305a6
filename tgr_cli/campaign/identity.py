"""What must be equal for plans to be equal, and what differs where it is not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgr_cli.artifacts.provenance import Provenance, flat
from tgr_cli.errors import TgrError


def refuse_other(path: Path, drawn: Provenance, ours: Mapping[str, Any]) -> None:
    """Raise TgrError where a plan was drawn for another model, data or settings than `ours`, naming what differs.

    What it was drawn by (scheme, numbers, seed) is the plan's own.
    """
    theirs = {name: value for name, value in identity(drawn).items() if name in ours}
    if differing := differences(theirs, ours):
        raise TgrError(f"{path} was drawn with {differing} now; give the same model, data and settings")


def identity(facts: Provenance | Mapping[str, Any]) -> dict[str, Any]:
    """Return what must be equal for plans to be equal, by dotted names, from a provenance or its fields."""
    field = facts.get if isinstance(facts, Mapping) else lambda name: getattr(facts, name)
    extra = field("extra") or {}
    values = {
        **(field("config") or {}),
        **{name: field(name) for name in ("model", "classes", "inputs")},
        **{name: extra.get(name) for name in ("dataset", "used", "pool", "preprocessing")},
    }
    return flat(values)


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Return what differs between two identities, as "limit clamp, but none"; "" where nothing does."""
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    return ", ".join(f"{name} {_short(theirs.get(name))}, but {_short(ours.get(name))}" for name in names)


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
