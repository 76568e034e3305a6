"""Finds which tensors of a graph are sites: names, kinds, and the MACs of the calls that read them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx.node import Node

from tgr_cli.faults.graph_sites import CONVOLUTIONS, Call, tensor_key
from tgr_cli.faults.operation_names import SHAPE_ONLY, name_of
from tgr_cli.faults.sites import Site


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
    """Return the floating-point parameters and buffers that the logits depend on, in order of first use.

    `values` are the graph's inputs other than the images, `calls` every multiply-accumulate call. A shared tensor is
    listed once, under its first name.
    """
    signature = program.graph_signature
    buffers, outputs = signature.inputs_to_buffers, program.graph.output_node().all_input_nodes
    named = {**signature.inputs_to_parameters, **buffers}
    first_name: dict[Any, str] = {}
    for name, value in [*program.state_dict.items(), *program.constants.items()]:
        if isinstance(value, Tensor):
            first_name.setdefault(tensor_key(value), name)
    needed = ancestors(outputs)
    nodes: dict[Any, list[Node]] = {}
    for user in program.graph.nodes:
        for node in user.all_input_nodes if user in needed and user.op == "call_function" else ():
            value = values.get(node) if node.name in named else None
            if value is not None and node in needed and value.is_floating_point() and value.numel():
                holders = nodes.setdefault(tensor_key(value), [])
                holders.extend([] if node in holders else [node])
    work = dict.fromkeys(nodes, 0)
    for call in calls:
        read = ancestors(_operands(call, values))
        for identity, holders in nodes.items():
            if not read.isdisjoint(holders):
                work[identity] += call.site.macs
    found = []
    for identity, holders in nodes.items():
        tensor, name = values[holders[0]], first_name[identity]
        kind = kind_of(name, buffer=holders[0].name in buffers)
        site = Site(name, kind, tuple(tensor.shape), work[identity], per_image=False)
        found.append(TensorSite(site, tensor, tuple(holders)))
    return found


def ancestors(nodes: Iterable[Node]) -> set[Node]:
    """Return `nodes` and all nodes whose values they depend on."""
    found, open_nodes = set[Node](), list(nodes)
    while open_nodes:
        node = open_nodes.pop()
        if node not in found:
            found.add(node)
            if name_of(node) not in SHAPE_ONLY:
                open_nodes.extend(node.all_input_nodes)
    return found


def _operands(call: Call, values: Collection[Node]) -> list[Node]:
    """Return the constant operands of a call: weight and bias, or the factors of a product that no image affects."""
    kind = name_of(call.node)
    inputs = call.node.all_input_nodes
    if kind == "linear" or kind in CONVOLUTIONS:
        inputs = [node for node in call.node.args[1:3] if isinstance(node, Node)]
    return [
        node for node in inputs if all(source in values for source in ancestors([node]) if source.op == "placeholder")
    ]
