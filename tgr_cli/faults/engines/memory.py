"""Amounts of memory, as people write them."""

import re

import torch
from torch.fx.node import Node

from tgr_cli.errors import TgrError
from tgr_cli.faults.graph import Program

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
MEMORY = 2 * UNITS["GiB"]
CAPTURING = 384 * UNITS["MiB"]  # what torch.export's modules and a captured graph take, about: 340 MiB for vgg16_bn


def parsed(text: str) -> int:
    """Return an amount such as `1.5GiB` in bytes; raises TgrError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    if found is None or found[2] not in UNITS or float(found[1]) == 0:
        raise TgrError(f'"{text}" is no amount of memory; write a number and one of {", ".join(UNITS)}, as 2GiB')
    return int(float(found[1]) * UNITS[found[2]])


def held_bytes(program: Program) -> int:
    """Return the memory that running these operations takes at its peak: the values that are needed at one time.

    What shares another value's memory (a view) is counted again: libraries take about as much for their own copies.
    """
    held = largest = 0
    for node, dead in program:
        held += _bytes(node)
        largest = max(largest, held)
        held -= sum(_bytes(value) for value in dead if value.op == "call_function")
    return largest


def _bytes(node: Node) -> int:
    values = node.meta["val"] if isinstance(node.meta["val"], (list, tuple)) else [node.meta["val"]]
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, torch.Tensor))
