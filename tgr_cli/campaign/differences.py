"""What differs between two campaigns, in words."""

from collections.abc import Mapping
from typing import Any


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Return the differences between two identities, such as "limit clamp, but none"; "" if they are equal."""
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    return ", ".join(f"{name} {_short(theirs.get(name))}, but {_short(ours.get(name))}" for name in names)


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
