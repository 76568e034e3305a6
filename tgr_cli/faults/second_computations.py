"""The guards of a model, as they are in a network that is emulated in a number format.

The formats round what a site computes; a guard's own computation has to be rounded likewise to be compared with it.
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
from tgr_cli.guards.voting import voted

SECOND: dict[str, Callable[..., Any]] = {"duplicated": duplicated, "voted": voted}  # each takes a rounding
PARTIAL = ("duplicated",)  # compute some channels of an output only
OF_WEIGHTS = {"checksummed": "checksums", "decoded": "an encoding"}  # made from the weights as the model stores them


class RoundedSecond:
    """A guard's operation whose second computation is rounded to the format as the first one is; for a graph's node."""

    def __init__(self, name: str, rounding: Callable[[Tensor], Tensor]) -> None:
        self.operation_name = self.__name__ = f"{ROUNDED}{name}"
        self._function = partial(SECOND[name], rounding=rounding)

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


def round_second_computations(graph: Graph, deployment: Deployment) -> None:
    """Let the guards of a graph round what they compute as the sites that they guard are rounded.

    Raises TgrError for a guard that compares what the formats change: a checksum with rounded outputs, anything made
    from the weights with rounded weights, some channels in a format that fits its scale to all of an image.
    """
    for node in graph.nodes:
        name = name_of(node)
        if name in OF_WEIGHTS and deployment.weight_form is not None:
            raise TgrError(
                f"--weight-format is {deployment.weight_form.name}, and the model is protected by {OF_WEIGHTS[name]} "
                "of its weights as they are stored; leave --weight-format out"
            )
        first = node.args[0] if name and node.args else None
        form, rounded = deployment.form, first.target if isinstance(first, Node) else None
        if form is None or not isinstance(rounded, RoundedOperation):
            continue
        if name == "checksummed":
            raise TgrError(
                f"--format is {form.name}, and the model is protected by checksums, whose bound is that of the model's "
                "own rounding; leave --format out"
            )
        if name in PARTIAL and form.dynamic:
            raise TgrError(
                f"--format is {form.name}, which fits its scale to the whole output of a layer, and "
                "the model computes some channels twice; name a format with a fixed scale, such as int8"
            )
        if name in SECOND:
            node.target = RoundedSecond(name, rounded.rounding)
