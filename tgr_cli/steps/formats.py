"""The number formats that support bit flips."""

from tgr_cli.faults.formats import NATIVE, Native


def run() -> list[Native]:
    """Return every number format, with its fields."""
    return list(NATIVE.values())
