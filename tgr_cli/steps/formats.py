"""The number formats that support bit flips."""

from tgr_cli.faults.bits import FORMATS, Format


def run() -> list[Format]:
    """Return every number format, with its fields."""
    return list(FORMATS.values())
