"""Numbers as the page writes them; percent exists here and on the terminal alone."""

import math
from collections.abc import Sequence

from tgr_cli.reporting import plain_factor

SPACE = "\u00a0"  # a number and its unit stay on one line


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share of 1 as text in percent, an en dash for none."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{digits}f}{SPACE}%"


def short_percent(share: float) -> str:
    """Return a share of 1 in percent with no more digits than it has, as on an axis."""
    return f"{100 * share:.6g}{SPACE}%"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, an en dash for none."""
    return "–" if value is None or math.isnan(value) else f"{value:#.{digits}g}".rstrip(".")


def tick(value: float) -> str:
    """Return a number with no more digits than it has, as on an axis."""
    return f"{value:.6g}"


def count(value: int | None) -> str:
    """Return a whole number with thousands separated, an en dash for none."""
    return "–" if value is None else f"{value:,}"


def factor(value: float | None) -> str:
    """Return an improvement factor, as in `2.87×`, an en dash for none."""
    return "–" if value is None or math.isnan(value) else f"{plain_factor(value)}×"


def plural(amount: int, one: str, many: str = "") -> str:
    """Return an amount with its noun."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return names as a list in words, the last after "and"; the rest are counted where there are many."""
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
