"""The operations of a graph by name, and what several files have to know of them."""

import operator
from typing import Any

from torch.fx.node import Node

BATCH_NORM = "_native_batch_norm_legit_no_training"
# They take the shape of another value, and not what it holds.
SHAPE_ONLY = (
    *("new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like"),
    *("rand_like", "randn_like", "new_empty_strided"),
)
ARITHMETIC = ("add", "sub", "mul", "div")
POINTWISE = (  # functions of one number, whatever the others are
    *("relu", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "elu", "sigmoid", "tanh", "silu", "gelu", "clamp"),
)


def name_of(node: Any) -> str:
    """Return what ATen calls the operation of a node, as "conv2d"; "" for what is no operation."""
    if not isinstance(node, Node):
        return ""
    return "getitem" if node.target is operator.getitem else str(getattr(node.target, "_opname", ""))
