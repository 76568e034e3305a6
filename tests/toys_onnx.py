"""Small ONNX files, written node by node."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn
from toys import toy_net

from tgr_cli.models import zoo

# They are looked for and not imported, which every worker of a test run would wait for.
NEEDED = pytest.mark.skipif(not all(map(find_spec, ("onnxruntime", "onnx2pytorch"))), reason="needs tgr[onnx]")
RANDOM = np.random.default_rng(0)
IMAGE = ("images", 1, 8, 8)


def write_graph(
    path: Path,
    nodes: Sequence[NodeProto],
    stored: Mapping[str, np.ndarray],
    *,
    image: Sequence[str | int] = IMAGE,
    output: str = "logits",
    outputs: Sequence[str] = (),
    dtype: int = TensorProto.FLOAT,
    result: int | None = None,
    opset: int = 20,
) -> Path:
    """Write a file with the input "x" of `dtype`, and the output `output`, or `outputs`, of `result` or `dtype`."""
    given = helper.make_tensor_value_info("x", dtype, image)
    results = [helper.make_tensor_value_info(name, result or dtype, [None, None]) for name in outputs or (output,)]
    weights = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(list(nodes), "toy", [given], results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 10
    onnx.save(model, path)
    return path


def toy_weights() -> dict[str, np.ndarray]:
    """Return the toy network's weights by their names in it."""
    return {name: value.numpy() for name, value in toy_net().state_dict().items()}


def toy_nodes(activation: str = "Relu", **attributes: float) -> list[NodeProto]:
    """Return the toy network's operators, named as exporters do: some after their place, some by number."""
    nodes, x = [], "x"
    for layer in ("conv1", "conv2"):
        wide = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        nodes += [
            helper.make_node("Conv", [x, f"{layer}.weight", f"{layer}.bias"], [layer], f"node_{layer}", **wide),
            helper.make_node(activation, [layer], [f"{layer}_r"], f"/relu/{layer}", **attributes),
            helper.make_node("MaxPool", [f"{layer}_r"], [f"{layer}_p"], kernel_shape=[2, 2], strides=[2, 2]),
        ]
        x = f"{layer}_p"
    nodes.append(helper.make_node("Flatten", [x], ["flat"], axis=1))
    nodes.append(helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], "node_fc", transB=1))
    return nodes


def write_toy(path: Path, **options: object) -> Path:
    """Write the toy network of `toys.toy_net`."""
    return write_graph(path, toy_nodes(), toy_weights(), **options)  # type: ignore[arg-type]


def built(path: Path) -> nn.Module:
    """Return the network of a file, for three classes."""
    return zoo.build(f"onnx:{path}", 3)


def values(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


# The end of a graph, from "f" to "logits"; its weights are those of `head`.
REST = [
    helper.make_node("Flatten", ["f"], ["g"]),
    helper.make_node("MatMul", ["g", "w"], ["m"], "head"),
    helper.make_node("Add", ["b", "m"], ["logits"]),
]


def head(width: int) -> dict[str, np.ndarray]:
    return {"w": values(width, 3), "b": values(3)}


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def external(path: Path) -> Path:
    """Write the toy network, its weights in a file beside it."""
    write_toy(path)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="beside.data", size_threshold=0)
    return path
