"""Finds which tensors of a graph are sites: names, kinds, and the MACs of the calls that read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx.node import Node

from tgr_cli.faults.graph_sites import Call, tensor_key
from tgr_cli.faults.program import ancestors
from tgr_cli.faults.sites import Site
from tgr_cli.faults.stored_weights import Role, constant_operands, find_roles, name_for


@dataclass(frozen=True)
class TensorSite:
    """A tensor of the model, and the graph nodes that hold it."""

    site: Site
    tensor: Tensor
    nodes: tuple[Node, ...]


def kind_of(name: str, *, buffer: bool) -> str:
    """Return "weight", "bias" or "buffer" for a tensor's qualified name.

    A parameter is a bias where the last part of its name begins or ends with the word, as `in_proj_bias`, `q_bias` and
    `bias_k` do; a `relative_position_bias_table` is a weight.
    """
    last = name.rpartition(".")[2]
    return "buffer" if buffer else "bias" if last.startswith("bias") or last.endswith("bias") else "weight"


def find_parameters(program: ExportedProgram, values: Mapping[Node, Any], calls: Sequence[Call]) -> list[TensorSite]:
    """Return the parameters and buffers that the logits depend on, in order of first use.

    These are floating-point tensors, and the integers that a quantised model stores as weights and biases; the scales
    beside those count as buffers, whatever they are registered as. `values` are the graph's inputs other than the
    images, `calls` every multiply-accumulate call. A shared tensor is listed once, under its first name.
    """
    roles, beside = find_roles(calls, values)
    nodes = _holders(program, values, roles)
    work = dict.fromkeys(nodes, 0)
    for call in calls:
        read = ancestors(operand for _, operand in constant_operands(call.node, values))
        for identity, holders in nodes.items():
            if not read.isdisjoint(holders):
                work[identity] += call.site.macs
    names, found = _names(program, nodes, roles), []
    buffers = program.graph_signature.inputs_to_buffers
    for identity, holders in nodes.items():
        tensor, name = values[holders[0]], names[identity]
        buffer = holders[0].name in buffers or identity in beside
        kind = roles[identity].kind if identity in roles else kind_of(name, buffer=buffer)
        site = Site(name, kind, tuple(tensor.shape), work[identity], per_image=False)
        found.append(TensorSite(site, tensor, tuple(holders)))
    return found


def _holders(
    program: ExportedProgram, values: Mapping[Node, Any], roles: Mapping[Any, Role]
) -> dict[Any, tuple[Node, ...]]:
    """Return the nodes that hold each tensor to be listed, by its key, in order of first use."""
    signature = program.graph_signature
    named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    needed = ancestors(program.graph.output_node().all_input_nodes)
    nodes: dict[Any, list[Node]] = {}
    for user in program.graph.nodes:
        for node in user.all_input_nodes if user in needed and user.op == "call_function" else ():
            value = values.get(node) if node.name in named else None
            if value is None or node not in needed or not value.numel():
                continue
            if value.is_floating_point() or tensor_key(value) in roles:
                holders = nodes.setdefault(tensor_key(value), [])
                holders.extend([] if node in holders else [node])
    return {identity: tuple(holders) for identity, holders in nodes.items()}


def _names(program: ExportedProgram, nodes: Mapping[Any, Any], roles: Mapping[Any, Role]) -> dict[Any, str]:
    """Return the name of each tensor, which no other one has; two that would be called alike keep their own."""
    own: dict[Any, str] = {}
    for name, value in [*program.state_dict.items(), *program.constants.items()]:
        if isinstance(value, Tensor):
            own.setdefault(tensor_key(value), name)
    own = {identity: own[identity] for identity in nodes}
    called = own | {identity: name_for(own[identity], role) for identity, role in roles.items() if identity in own}
    given = list(called.values())
    return {identity: name if given.count(name) == 1 else own[identity] for identity, name in called.items()}
