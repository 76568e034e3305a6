"""Which values of a graph do not depend on the image's values: stored tensors, and arithmetic on shapes.

They are computed with NumPy, by onnx's reference evaluator. Where torch traces the network, such values are plain
numbers to it: a shape that is a tensor would be one that depends on data.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

MEASURING = ("Shape", "Size")  # they read the shape of their input and not its values


@dataclass(frozen=True)
class Computed:
    """The graph without what could be computed at once.

    `stored` are constant values by name. `nodes` are the others, in order of execution; those whose first output is in
    `numbers` depend on the shapes of batches only. `matrices` are stored, and read as the right side of products alone.
    """

    nodes: tuple[NodeProto, ...]
    stored: Mapping[str, np.ndarray]
    numbers: frozenset[str]
    matrices: frozenset[str]


class Arithmetic:
    """A node on NumPy arrays."""

    def __init__(self, node: NodeProto, opset: int) -> None:
        names = list(dict.fromkeys(name for name in node.input if name))
        anything = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names]
        results = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output if name]
        graph = helper.make_graph([node], "node", anything, results)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        self._evaluator, self.inputs = ReferenceEvaluator(model), names
        self.outputs = [name for name in node.output if name]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the node's outputs by name."""
        results = self._evaluator.run(None, {name: inputs[name] for name in self.inputs})
        return {name: np.asarray(value) for name, value in zip(self.outputs, results, strict=True)}


def computed(graph: GraphProto, opset: int) -> Computed:
    """Return the graph with the nodes computed that have constant inputs alone.

    What is computed from a weight that others read too stays a node: a fault in the weight strikes all its uses.
    """
    stored: dict[str, np.ndarray] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    numbers: set[str] = set()
    left = []
    nodes = _without_copies(graph)
    readers = Counter(name for node in nodes for name in node.input)
    for node in nodes:
        inputs = [name for name in node.input if name]
        shared = any(readers[name] > 1 and not _is_small(stored.get(name)) for name in inputs)
        if all(name in stored for name in inputs) and (node.op_type in MEASURING or not shared):
            stored |= Arithmetic(node, opset).run(stored)
            continue
        if node.op_type in MEASURING or all(name in numbers or _is_small(stored.get(name)) for name in inputs):
            numbers.update(name for name in node.output if name)
        left.append(node)
    otherwise = {name for node in left for name in node.input[: 1 if node.op_type == "MatMul" else None]}
    matrices = {name for name, array in stored.items() if array.ndim == 2 and name not in otherwise}
    return Computed(tuple(left), stored, frozenset(numbers), frozenset(matrices))


def _without_copies(graph: GraphProto) -> list[NodeProto]:
    """Return the nodes, in which each constant value has one name: copies, and what is computed twice, are left out.

    Exporters give a weight that several layers share a second name by an Identity, or transpose it for each of them.
    """
    constant = {tensor.name for tensor in graph.initializer}
    first: dict[str, str] = {}  # the name that a copy's is replaced by
    made: dict[tuple[object, ...], NodeProto] = {}
    results = {value.name for value in graph.output}
    nodes = []
    for given in graph.node:
        node = NodeProto()
        node.CopyFrom(given)
        node.input[:] = [first.get(name, name) for name in given.input]
        if all(name in constant for name in node.input if name):
            constant.update(node.output)
            if node.input and not results.intersection(node.output):
                if node.op_type == "Identity":
                    first[node.output[0]] = node.input[0]
                    continue
                again = made.setdefault(operation(node, node.input), node)
                if again is not node:
                    first |= zip(node.output, again.output, strict=True)
                    continue
        nodes.append(node)
    return nodes


def operation(node: NodeProto, inputs: Sequence[str]) -> tuple[object, ...]:
    """Return what a node computes of these inputs, apart from the names of its results."""
    details = sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
    return (node.op_type, *inputs, len(node.output), *details)


def _is_small(array: np.ndarray | None) -> bool:
    """Return whether an array may take part in arithmetic on shapes; a network's weights do not."""
    return array is not None and (array.dtype.kind in "iub" or array.size == 1)


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name; texts as str."""
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def integers(given: np.ndarray | Sequence[int] | None) -> list[int] | None:
    """Return integers as a list, None for None."""
    return None if given is None else [int(value) for value in np.atleast_1d(np.asarray(given))]
