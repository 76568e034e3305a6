"""The memory for running a captured graph."""

import torch
from torch.fx.node import Node

from tgr_cli import defaults
from tgr_cli.faults.option_values import UNITS as UNITS
from tgr_cli.faults.option_values import parsed as parsed
from tgr_cli.faults.program import Program

MEMORY = parsed(defaults.MEMORY)
CAPTURING = 384 * UNITS["MiB"]  # approximate memory of torch.export and a captured graph; 340 MiB for vgg16_bn


def held_bytes(program: Program) -> int:
    """Return the peak memory of running the operations in bytes: the values alive at the same time.

    Views are counted like copies; this roughly accounts for the scratch memory of kernels.
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
