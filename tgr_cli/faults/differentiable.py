"""Differentiable replacements for operations whose torch backward pass omits some inputs.

Suffixes: B batch, C channels.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults.integer_gradients import integer_gradients
from tgr_cli.faults.operation_names import BATCH_NORM, name_of
from tgr_cli.faults.program import ancestors


def differentiable(nodes: Sequence[Node], leaves: Collection[Node]) -> dict[Node, Callable[..., Any]]:
    """Return replacements for those of `nodes` through which torch propagates no gradient to one of `leaves`.

    Affected are operations that round or quantise, and the running mean and variance of batch norms, which torch treats
    as constant buffers. `nodes` run in this order.
    """
    norms = {
        node: batch_norm
        for node in nodes
        if name_of(node) == BATCH_NORM and not ancestors(_statistics(node)).isdisjoint(leaves)
    }
    return {**integer_gradients(nodes, leaves), **norms}


def _statistics(node: Node) -> list[Node]:
    return [source for source in node.args[3:5] if isinstance(source, Node)]


def batch_norm(
    x_BC: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `_native_batch_norm_legit_no_training` returns: x normalised by the given statistics.

    `x_BC` may have further axes after C.
    """
    shape = (-1, *[1] * (x_BC.ndim - 2))
    y_BC = (x_BC - mean.view(shape)) * torch.rsqrt(var.view(shape) + eps)
    if weight is not None:
        y_BC = y_BC * weight.view(shape)
    if bias is not None:
        y_BC = y_BC + bias.view(shape)
    nothing = x_BC.new_empty(0)
    return y_BC, nothing, nothing
