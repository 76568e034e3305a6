"""Weights of ONNX files that several operators read: a change of one is a change of the file's tensor."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import NodeProto, helper
from toys_onnx import NEEDED, REST, built, head, ints, values, write_graph

from tgr_cli.errors import TgrError
from tgr_cli.faults.hooked import capture

pytestmark = NEEDED
node = helper.make_node


def shared_layers() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """Return weights that are read twice: as they are, under a second name, transposed twice, and as a scale too."""
    wide = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    return [
        node("Conv", ["x", "k", "zero"], ["a"], "first", **wide),
        node("Identity", ["k"], ["k1"]),
        node("Tanh", ["a"], ["t"]),
        node("Conv", ["t", "k1", "zero"], ["c"], "second", **wide),
        node("BatchNormalization", ["c", "scale", "zero", "zero", "var"], ["n1"]),
        node("BatchNormalization", ["n1", "scale", "zero", "zero", "var"], ["n2"]),
        node("Flatten", ["n2"], ["flat"]),
        node("Transpose", ["square"], ["square_1"], perm=[1, 0]),
        node("Transpose", ["square"], ["square_2"], perm=[1, 0]),
        node("MatMul", ["flat", "square_1"], ["p1"]),
        node("Mul", ["p1", "row"], ["p2"]),
        node("MatMul", ["p2", "square_2"], ["p3"]),
        node("Add", ["p3", "row"], ["f"]),
    ], {
        "k": values(1, 1, 3, 3), "zero": values(1), "scale": values(1), "var": np.abs(values(1)),
        "square": values(64, 64), "row": values(64), **head(64),
    }  # fmt: skip


def used_in_two_forms() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    return [
        node("Flatten", ["x"], ["flat"]),
        node("MatMul", ["flat", "square"], ["p1"]),
        node("Transpose", ["square"], ["turned"], perm=[1, 0]),
        node("MatMul", ["p1", "turned"], ["f"]),
    ], {"square": values(64, 64), **head(64)}


def read_by_others() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """Return weights of a product, with its bias, that other operators read, and two kinds of layers of one weight."""
    return [
        node("ConvTranspose", ["x", "k"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Conv", ["a", "k"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Flatten", ["c"], ["flat"]),
        node("LayerNormalization", ["flat", "row", "other"], ["n"]),
        node("MatMul", ["n", "square"], ["p1"]),
        node("Add", ["row", "p1"], ["p2"]),
        node("Unsqueeze", ["other", "zero"], ["others"]),
        node("MatMul", ["p2", "square"], ["p3"]),
        node("Mul", ["p3", "others"], ["f"]),
    ], {
        "k": values(1, 1, 3, 3), "row": values(64), "other": values(64), "square": values(64, 64), "zero": ints(0),
        **head(64),
    }  # fmt: skip


@pytest.mark.parametrize("graph", [shared_layers, used_in_two_forms, read_by_others])
def test_a_change_of_a_weight_is_that_of_the_file_s_tensor(
    graph: Callable[[], tuple[list[NodeProto], dict[str, np.ndarray]]],
) -> None:
    nodes, whole = graph()
    x = torch.rand(2, 1, 8, 8)
    network = built(write_graph(Path("a.onnx"), nodes + REST, whole)).double().float()  # both copy each buffer
    stored = {name: value for name, value in whole.items() if value.dtype.kind == "f"}  # the others are no tensors
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    assert sorted(value.numel() for name, value in tensors.items() if "num_batches" not in name) == sorted(
        value.size for value in stored.values()
    )
    counted = capture(network, (1, 8, 8), batch_size=2).parameters.values()
    assert sorted(tensor.numel() for tensor in counted) == sorted(value.size for value in stored.values())
    for name, value in stored.items():
        (own,) = [tensor for tensor in tensors.values() if tensor.numel() == value.size and equal(tensor, value)]
        before = own.clone()
        with torch.no_grad():
            own.add_(0.5)
        struck = built(write_graph(Path("b.onnx"), nodes + REST, {**whole, name: value + np.float32(0.5)}))
        assert torch.allclose(network(x), struck(x), rtol=1e-4, atol=1e-4), name
        with torch.no_grad():
            own.copy_(before)


def test_a_layer_that_is_called_twice_has_the_sites_that_it_has_in_torch() -> None:
    nodes, stored = shared_layers()
    sites = capture(built(write_graph(Path("a.onnx"), nodes + REST, stored)), (1, 8, 8), batch_size=2).sites
    assert [site.name for site in sites] == ["first#1", "first#2", "p1", "p3", "head"]  # p3 has a bias, and p1 none


def equal(tensor: torch.Tensor, array: np.ndarray) -> bool:
    found = tensor.detach().numpy()
    return any(np.array_equal(form.reshape(-1), array.reshape(-1)) for form in (found, found.T))


def test_a_weight_that_torch_needs_in_two_forms_is_refused() -> None:
    twice = [
        node("Flatten", ["x"], ["flat"]),
        node("Gemm", ["flat", "square"], ["p1"]),
        node("Gemm", ["p1", "square"], ["f"], transB=1),
    ]
    with pytest.raises(TgrError, match='several operators read the weight "square", and torch needs it in another'):
        built(write_graph(Path("a.onnx"), twice + REST, {"square": values(64, 64), **head(64)}))


def test_a_layer_whose_weight_is_made_from_a_shared_one_is_refused() -> None:
    nodes = [
        node("Conv", ["x", "k"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Transpose", ["k"], ["turned"], perm=[0, 1, 3, 2]),
        node("Conv", ["a", "turned"], ["f"], "second", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    with pytest.raises(TgrError, match='the Conv "second" takes its weight from "turned", which is computed at each'):
        built(write_graph(Path("a.onnx"), nodes + REST, {"k": values(1, 1, 3, 3), **head(64)}))
