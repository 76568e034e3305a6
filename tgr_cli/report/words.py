"""Number formatting on the page; only here and on the terminal are fractions shown as percentages."""

import math
from collections.abc import Sequence

from tgr_cli.reporting import plain_factor

SPACE = "\u00a0"  # non-breaking space between a number and its unit


def percent(share: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage, an en dash for None."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{digits}f}{SPACE}%"


def short_percent(share: float) -> str:
    """Return a fraction as a percentage with the fewest digits, for axes."""
    return f"{100 * share:.6g}{SPACE}%"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, an en dash for None."""
    return "–" if value is None or math.isnan(value) else f"{value:#.{digits}g}".rstrip(".")


def tick(value: float) -> str:
    """Return a number with the fewest digits, for axes."""
    return f"{value:.6g}"


def count(value: int | None) -> str:
    """Return an integer with thousands separators, an en dash for None."""
    return "–" if value is None else f"{value:,}"


def factor(value: float | None) -> str:
    """Return an improvement factor, such as `2.87×`, an en dash for None."""
    return "–" if value is None or math.isnan(value) else f"{plain_factor(value)}×"


def plural(amount: int, one: str, many: str = "") -> str:
    """Return a number with its noun in singular or plural."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return names as an enumeration with "and"; beyond `most` names the rest are counted."""
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
