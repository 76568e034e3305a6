"""Option values of a campaign. Does not import torch, so that a wrong option is reported at once."""

import re
from typing import Literal, get_args

from tgr_cli.errors import TgrError

LimitMode = Literal["clamp", "zero", "none", "format"]
MODES: tuple[LimitMode, ...] = get_args(LimitMode)
OF_TENSORS: tuple[LimitMode, ...] = ("clamp", "zero", "none")  # of tensors that are in no format of their own
Strike = Literal["element", "scale"]
STRIKES: tuple[Strike, ...] = get_args(Strike)
Granularity = Literal["site", "map", "channel"]  # what gets --injections faults; see `faults.places`
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
ENGINES = ("auto", "delta", "replay", "full", "pytorchfi")  # classes of these names: `faults.engines`
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def parsed(text: str) -> int:
    """Return an amount of memory such as `1.5GiB` in bytes; raises TgrError for any other text."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    if found is None or found[2] not in UNITS or float(found[1]) == 0:
        raise TgrError(f'"{text}" is no amount of memory; write a number and one of {", ".join(UNITS)}, as 2GiB')
    return int(float(found[1]) * UNITS[found[2]])
