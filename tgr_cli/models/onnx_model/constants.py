"""Which values of a graph do not depend on the image's values: stored tensors, and arithmetic on shapes.

They are computed with NumPy, by onnx's reference evaluator. Where torch traces the network, such values are plain
numbers to it: a shape that is a tensor would be one that depends on data.
"""

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
    `numbers` depend on the shapes of batches only.
    """

    nodes: tuple[NodeProto, ...]
    stored: Mapping[str, np.ndarray]
    numbers: frozenset[str]


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
    """Return the graph with the nodes computed that have constant inputs alone."""
    stored: dict[str, np.ndarray] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    numbers: set[str] = set()
    left = []
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if all(name in stored for name in inputs):
            stored |= Arithmetic(node, opset).run(stored)
            continue
        if node.op_type in MEASURING or all(name in numbers or _is_small(stored.get(name)) for name in inputs):
            numbers.update(name for name in node.output if name)
        left.append(node)
    return Computed(tuple(left), stored, frozenset(numbers))


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
