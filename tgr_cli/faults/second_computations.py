"""The second computations of a guarded model, as they are in a network that is emulated in a number format.

The formats round what a site computes; the guard's own computation has to be rounded likewise to be compared with it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.fx import Graph
from torch.fx.node import Node

from tgr_cli.errors import TgrError
from tgr_cli.faults.deployment import Deployment, RoundedOperation
from tgr_cli.faults.operation_names import ROUNDED, name_of
from tgr_cli.guards.duplication import duplicated


class RoundedDuplicate:
    """A comparison of channels computed twice, where both are rounded to the format; for a node of a graph."""

    operation_name = __name__ = f"{ROUNDED}duplicated"

    def __init__(self, rounding: Callable[[Tensor], Tensor]) -> None:
        self.rounding = rounding

    def __call__(self, *args: Any) -> tuple[Tensor, Tensor]:
        return partial(duplicated, rounding=self.rounding)(*args)


def round_second_computations(graph: Graph, deployment: Deployment) -> None:
    """Let the guards of a graph round what they compute as the sites that they guard are rounded.

    Raises TgrError for a format that fits its scale to all channels of an image, where only some are computed.
    """
    for node in graph.nodes:
        if name_of(node) == "duplicated" and isinstance(first := node.args[0], Node):
            rounded = first.target
            if isinstance(rounded, RoundedOperation):
                assert deployment.form is not None
                if deployment.form.dynamic:
                    raise TgrError(
                        f"--format is {deployment.form.name}, which fits its scale to the whole output of a layer, and "
                        "the model computes some channels twice; name a format with a fixed scale, such as int8"
                    )
                node.target = RoundedDuplicate(rounded.rounding)
