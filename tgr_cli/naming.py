"""Names: compared regardless of Unicode form, case and separators between words, and put into messages."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

SHOWN = 5  # names listed in a message; the rest are counted


def composed(name: str) -> str:
    """Return `name` in Unicode NFC, as file systems store composed and decomposed forms."""
    return unicodedata.normalize("NFC", name)


def comparable(name: str) -> str:
    """Return the form in which two spellings of a name are equal.

    >>> comparable("Ankle_boot"), comparable("ankle  BOOT"), comparable("007")
    ('ankle boot', 'ankle boot', '7')
    """
    words = re.sub(r"[\s_-]+", " ", composed(name).casefold()).strip()
    return composed((words.lstrip("0") or "0") if is_number(words) else words)


def is_number(name: str) -> bool:
    """Return whether a name consists of the digits 0 to 9."""
    return name.isascii() and name.isdigit()


class Spellings:
    """Positions by name: exact matches first, else names that differ only in spelling."""

    def __init__(self, names: Iterable[tuple[str, int]]) -> None:
        self._exact: dict[str, set[int]] = defaultdict(set)
        self._alike: dict[str, set[int]] = defaultdict(set)
        for name, place in names:
            self._exact[composed(name)].add(place)
            self._alike[comparable(name)].add(place)

    def places(self, name: str) -> list[int]:
        """Return the positions that match `name`, in order; several if the spelling is ambiguous."""
        found = self._exact.get(composed(name)) or self._alike.get(comparable(name))
        return sorted(found) if found else []


def listed(names: Iterable[str]) -> str:
    """Return names as a list for a message, long ones cut.

    >>> listed("abc"), listed("abcdefgh")
    ('a, b, c', 'a, b, c, d, e and 3 more')
    """
    every = list(names)
    more = f" and {len(every) - SHOWN:,} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def option(name: str) -> str:
    """Return a setting's option, as "--target-ci" for "target_ci"."""
    return f"--{name.replace('_', '-')}"


def typed(name: str, value: object) -> str:
    """Return a setting as it is typed, or that it is not given.

    >>> typed("target_ci", "sdc=0.01"), typed("lasting", True), typed("order", ("dloss", "work")), typed("encode", None)
    ('--target-ci sdc=0.01', '--lasting', '--order dloss work', 'no --encode')
    """
    if _is_absent(value):
        return f"no {option(name)}"
    return option(name) if value is True else f"{option(name)} {bare(value)}"


def bare(value: object) -> str:
    """Return a setting's value as it is typed; "without it" if it is not given."""
    if _is_absent(value):
        return "without it"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _is_absent(value: object) -> bool:
    return value is None or value is False or value in ((), [])
