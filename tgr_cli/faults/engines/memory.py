"""Amounts of memory, as people write them."""

import re

from tgr_cli.errors import TgrError

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
MEMORY = 2 * UNITS["GiB"]


def parsed(text: str) -> int:
    """Return an amount such as `1.5GiB` in bytes; raises TgrError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    if found is None or found[2] not in UNITS or float(found[1]) == 0:
        raise TgrError(f'"{text}" is no amount of memory; write a number and one of {", ".join(UNITS)}, as 2GiB')
    return int(float(found[1]) * UNITS[found[2]])
