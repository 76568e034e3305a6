"""Finds the weights and biases that a quantised model stores as integers, and what they are called.

Such a tensor is registered as a buffer or a parameter, under a name that its converter may have made up, and its graph
turns it into real values by operations with a scale and a zero point.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults.formats.stored import is_stored
from tgr_cli.faults.graph_sites import CONVOLUTIONS, Call, module_of, tensor_key
from tgr_cli.faults.operation_names import name_of
from tgr_cli.faults.program import origins


@dataclass(frozen=True)
class Role:
    """What an integer tensor is to the calls that read it: "weight" or "bias", and the module paths of the calls."""

    kind: str
    readers: frozenset[str]


def find_roles(
    calls: Sequence[Call], values: Mapping[Node, Any]
) -> tuple[dict[tuple[Any, ...], Role], set[tuple[Any, ...]]]:
    """Return the roles of the integer tensors that calls read as weight or bias, by `tensor_key`.

    Also return the keys of the other tensors from which these operands are computed: scales and zero points.
    `values` are the graph's inputs other than the images.
    """
    roles, beside = dict[tuple[Any, ...], Role](), set[tuple[Any, ...]]()
    for call in calls:
        for kind, operand in constant_operands(call.node, values):
            sources = {tensor_key(value): value for value in _sources(operand, values)}
            integers = {key: value for key, value in sources.items() if is_stored(value.dtype)}
            if not integers:
                continue
            # A zero point is an integer, too: there are fewer of them, or as many in a wider type.
            key = max(integers, key=lambda key: (integers[key].numel(), -integers[key].itemsize))
            before = roles.get(key)
            readers = (before.readers if before else frozenset()) | {module_of(call.node)}
            roles[key] = Role(before.kind if before else kind, readers)
            beside |= sources.keys() - {key}
    return roles, beside - roles.keys()


def name_for(name: str, role: Role) -> str:
    """Return what an integer tensor is called: its own name in its module, or one after the module that reads it.

    Converters keep the tensors of all modules in one place (`_frozen_param3`), or in a place of their own
    (`fc.parametrizations.weight.original0`); users know them as the weight of a layer.

    >>> name_for("_frozen_param3", Role("weight", frozenset({"layer1.conv"})))
    'layer1.conv.weight'
    >>> name_for("fc.weight_int8", Role("weight", frozenset({"fc"})))
    'fc.weight_int8'
    """
    owner = name.rpartition(".")[0]
    if len(role.readers) != 1 or owner in role.readers or role.readers == {""}:
        return name
    (reader,) = role.readers
    return f"{reader}.{role.kind}"


def constant_operands(node: Node, values: Mapping[Node, Any]) -> list[tuple[str, Node]]:
    """Return the operands of a call that no image affects, each with what it is: "weight" or "bias".

    These are a layer's weight and bias, or the factors and the summand of a product.
    """
    kind = name_of(node)
    if kind == "linear" or kind in CONVOLUTIONS:
        named = list(zip(("weight", "bias"), node.args[1:3], strict=False))
    elif kind in ("addmm", "baddbmm"):
        named = [("bias", node.args[0]), ("weight", node.args[1]), ("weight", node.args[2])]
    else:
        named = [("weight", operand) for operand in node.all_input_nodes]
    return [(role, operand) for role, operand in named if isinstance(operand, Node) and _is_constant(operand, values)]


def _is_constant(operand: Node, values: Mapping[Node, Any]) -> bool:
    return all(source in values for source in origins([operand]))


def _sources(operand: Node, values: Mapping[Node, Any]) -> list[Tensor]:
    """Return the tensors whose values make up an operand; those that only say where its values lie are none of them."""
    found = (values[node] for node in origins([operand], through_positions=False))
    return [value for value in found if isinstance(value, Tensor) and value.numel()]
