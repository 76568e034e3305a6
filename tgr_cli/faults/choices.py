"""What a user may choose of a campaign, by name and in amounts. Loads no torch, so that a slip is told at once."""

import re
from typing import Literal, get_args

from tgr_cli.errors import TgrError

LimitMode = Literal["clamp", "zero", "none"]
MODES: tuple[LimitMode, ...] = get_args(LimitMode)
# Images that ranges are profiled on, at even steps through the split, however they come about.
PROFILED_IMAGES = 1024
ENGINES = ("auto", "delta", "replay", "full", "pytorchfi")  # the classes of these names are in `faults.engines`
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def parsed(text: str) -> int:
    """Return an amount of memory such as `1.5GiB` in bytes; raises TgrError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    if found is None or found[2] not in UNITS or float(found[1]) == 0:
        raise TgrError(f'"{text}" is no amount of memory; write a number and one of {", ".join(UNITS)}, as 2GiB')
    return int(float(found[1]) * UNITS[found[2]])
