"""Guards as a model's card stores them, under the key `protection`."""

from collections.abc import Mapping, Sequence
from typing import Any

from tgr_cli.errors import TgrError
from tgr_cli.guards.bounds import Bounds
from tgr_cli.guards.checksum import Checksum
from tgr_cli.guards.duplication import Duplication
from tgr_cli.guards.encoding import Encoding
from tgr_cli.guards.guard import Guard
from tgr_cli.guards.voting import Voting

EVERY: tuple[type[Guard], ...] = (Duplication, Bounds, Checksum, Encoding, Voting)
TECHNIQUES = {each.technique: each for each in EVERY}


def to_json(guards: Sequence[Guard]) -> list[dict[str, Any]]:
    """Return the guards as values of JSON."""
    return [{"technique": guard.technique, **guard.to_json()} for guard in guards]


def from_json(stored: Sequence[Mapping[str, Any]]) -> tuple[Guard, ...]:
    """Return the guards that a card stores; raises TgrError for a technique that is unknown, or damaged values."""
    found = []
    for each in stored:
        technique = each.get("technique") if isinstance(each, Mapping) else None
        if not isinstance(technique, str) or technique not in TECHNIQUES:
            raise TgrError(
                f'the protection "{technique}" is unknown (known: {", ".join(TECHNIQUES)}); update tgr, or protect the '
                'model anew with "tgr guard"'
            )
        try:
            found.append(TECHNIQUES[technique].from_json(each))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TgrError(
                f'the protection "{technique}" is damaged; protect the model anew with "tgr guard"'
            ) from error
    return tuple(found)
