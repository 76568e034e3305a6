"""ONNX files: the network of a file is the one that it was made from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import NodeProto, TensorProto, helper
from toys import toy_net, write_toy_dataset
from toys_artifacts import invoke
from toys_onnx import NEEDED, REST, built, external, head, ints, toy_nodes, toy_weights, values, write_graph, write_toy

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.faults.hooked import capture
from tgr_cli.models import weights
from tgr_cli.models.onnx_model import file

pytestmark = NEEDED
node = helper.make_node


def test_the_network_of_a_file_is_the_one_that_it_was_made_from() -> None:
    toy, found = toy_net(), built(write_toy(Path("toy.onnx")))
    x = torch.rand(5, 1, 8, 8)
    assert torch.allclose(found(x), toy(x), rtol=0, atol=1e-6)
    assert [(site.name, site.shape, site.macs) for site in capture(found, (1, 8, 8), batch_size=2).sites] == [
        (site.name, site.shape, site.macs) for site in capture(toy, (1, 8, 8), batch_size=2).sites
    ]
    assert {name: value.tolist() for name, value in found.named_parameters()} == {
        name: value.tolist() for name, value in toy.named_parameters()
    }


def test_a_campaign_on_a_file_is_that_on_the_network_it_was_made_from(tmp_path: Path) -> None:
    data = f"parquet:{write_toy_dataset(tmp_path / 'toy')}"
    write_toy(Path("toy.onnx"))
    tables = []
    for model, more in (("onnx:toy.onnx", ("--verify", 4)), ("toys:build_toy", ("--weights", "none"))):
        grey = ("--crop", 8, "--resize", 8, "--mean", 0.5, "--std", 0.5, "--limit", "none", "--sampling", "uniform")
        done = invoke("inject", "--model", model, "--dataset", data, "--injections", 4, *grey, *more)
        assert done.exit_code == 0, done.stderr
        (written,) = Path("runs/toy").glob(f"{model.replace(':', '-')}*/injections.parquet")
        tables.append(store.read(written, INJECTIONS).table)
    ours, theirs = (table.select(["site", "index", "bit", "image_id", "outcome", "faulty_label"]) for table in tables)
    assert ours.equals(theirs)


# Graphs around shapes, axes and bounds, which exporters compute in many ways; each ends in `REST`.
def token() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """Return a learned row that is repeated for each image, as in vision transformers, and joined to its rows."""
    return [
        node("Squeeze", ["x", "one"], ["rows"]),
        node("Shape", ["rows"], ["shape"]),
        node("Gather", ["shape", "zero"], ["n"]),
        node("Unsqueeze", ["n", "zero1"], ["n1"]),
        node("Concat", ["n1", "one", "eight"], ["wanted"], axis=0),
        node("Expand", ["token", "wanted"], ["tokens"]),
        node("Concat", ["tokens", "rows"], ["f"], axis=1),
    ], {"one": ints(1), "zero": np.array(0), "zero1": ints(0), "eight": ints(8), "token": values(1, 1, 8), **head(72)}


def sliced() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    return [
        node("Slice", ["x", "start", "end", "axes", "step"], ["a"]),
        node("Split", ["a", "parts"], ["top", "rest"], axis=2),
        node("Pad", ["top", "pads", "one"], ["padded"]),
        node("ReduceMean", ["rest", "last"], ["means"], keepdims=1),
        node("Mul", ["padded", "means1"], ["scaled"]),
        node("ReduceMean", ["means", "high"], ["means1"], keepdims=1),
        node("Clip", ["scaled", "low", "one"], ["f"]),
    ], {
        "start": ints(-1, 0), "end": ints(-(2**62), 7), "axes": ints(2, 3), "step": ints(-1, 2), "parts": ints(3, 5),
        "pads": ints(0, 0, 1, 0, 0, 0, 0, 2), "one": np.float32(1), "last": ints(-1), "high": ints(2),
        "low": np.float32(-0.5), **head(24),
    }  # fmt: skip


def reshaped() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    return [
        node("Reshape", ["x", "as_rows"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["r", "t"], ["product"]),
        node("Softmax", ["product"], ["weights"], axis=-1),
        node("Gather", ["weights", "picked"], ["f"], axis=-2),
    ], {"as_rows": ints(0, 4, -1), "picked": ints(-1, 0), **head(8)}


def normalised() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    stored = {"scale": values(1), "shift": values(1), "mean": values(1), "var": np.abs(values(1)), **head(64)}
    return [
        node("BatchNormalization", ["x", "scale", "shift", "mean", "var"], ["n"], training_mode=0),
        node("Constant", [], ["slope"], value=helper.make_tensor("v", TensorProto.FLOAT, [], [0.1])),
        node("Identity", ["slope"], ["slope1"]),
        node("PRelu", ["n", "slope1"], ["f"]),
    ], stored


@pytest.mark.parametrize("graph", [token, sliced, reshaped, normalised])
def test_shapes_that_are_computed_are_numbers_where_torch_traces(
    graph: Callable[[], tuple[list[NodeProto], dict[str, np.ndarray]]],
) -> None:
    nodes, stored = graph()
    if graph is sliced:
        nodes[4], nodes[5] = nodes[5], nodes[4]
    network = built(write_graph(Path("a.onnx"), nodes + REST, stored))  # ONNX Runtime has the same logits, or it fails
    traced = capture(network, (1, 8, 8), batch_size=2)
    assert type(traced).__name__ == "Network"  # and not the one with hooks
    x = torch.rand(2, 1, 8, 8)
    assert torch.allclose(traced.forward(x), network(x), atol=1e-6)
    assert [site.name for site in traced.sites][-1] == "head"
    assert torch.equal(network.head.bias, torch.tensor(stored["b"]))
    assert ("token" in dict(network.named_parameters())) is (graph is token)


def test_images_with_their_channels_last_are_given_so() -> None:
    nodes = [node("Transpose", ["x"], ["x_first"], perm=[0, 3, 1, 2]), *toy_nodes()]
    nodes[1].input[0] = "x_first"
    network = built(write_graph(Path("last.onnx"), nodes, toy_weights(), image=("n", 8, 8, 1)))
    x = torch.rand(2, 1, 8, 8)
    assert torch.allclose(network(x), toy_net()(x), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_size_is_no_limit_where_no_operator_holds_it(batch: int) -> None:
    network = built(write_toy(Path("fixed.onnx"), image=(batch, 1, 8, 8)))
    x = torch.rand(3, 1, 8, 8)
    assert torch.allclose(network(x), toy_net()(x), atol=1e-6)


def test_sizes_below_zero_are_open() -> None:
    built(write_toy(Path("batch.onnx"), image=(-1, 1, 8, 8)))
    read = file.read(write_toy(Path("side.onnx"), image=(-1, 1, -1, -1)))
    assert (read.batch, read.side) == (None, None)


def test_half_precision_stays_half() -> None:
    stored = {name: value.astype(np.float16) for name, value in toy_weights().items()}
    network = built(write_graph(Path("half.onnx"), toy_nodes(), stored, dtype=TensorProto.FLOAT16))
    assert weights.number_format(network) == "float16"
    x = torch.rand(3, 1, 8, 8)
    assert torch.allclose(network(x.half()).float(), toy_net()(x), atol=1e-2)


def test_half_precision_inside_is_compared_as_such() -> None:
    half = {name: value.astype(np.float16) for name, value in toy_weights().items()}
    nodes = [node("Cast", ["x"], ["x_half"], to=10), *toy_nodes(), node("Cast", ["logits"], ["z"], to=1)]
    nodes[1].input[0] = "x_half"
    assert file.read(write_graph(Path("half.onnx"), nodes, half, output="z")).precision == "float16"
    x = torch.rand(3, 1, 8, 8)
    assert torch.allclose(built(Path("half.onnx"))(x), toy_net()(x), atol=1e-2)
    through = [node("Cast", ["logits"], ["l"], to=10), node("Cast", ["l"], ["z"], to=1)]
    assert (
        file.read(write_graph(Path("cast.onnx"), [*toy_nodes(), *through], toy_weights(), output="z")).precision
        == "float16"
    )


def test_weights_in_a_file_beside_are_read() -> None:
    x = torch.rand(2, 1, 8, 8)
    assert torch.allclose(built(external(Path("e.onnx")))(x), toy_net()(x), atol=1e-6)


def test_equal_weights_under_other_operators_are_another_model() -> None:
    made = [
        ("relu", toy_nodes()),
        ("leaky", toy_nodes("LeakyRelu", alpha=0.1)),
        ("leakier", toy_nodes("LeakyRelu", alpha=0.2)),
        ("again", toy_nodes()),
    ]
    found = [
        weights.fingerprint(built(write_graph(Path(f"{name}.onnx"), nodes, toy_weights()))) for name, nodes in made
    ]
    assert found[0] == found[3]
    assert len(set(found)) == 3


def test_a_log_of_probabilities_is_as_good_as_logits() -> None:
    network = built(
        write_graph(Path("log.onnx"), [*toy_nodes(), node("LogSoftmax", ["logits"], ["z"])], toy_weights(), output="z")
    )
    x = torch.rand(2, 1, 8, 8)
    assert torch.allclose(network(x), toy_net()(x).log_softmax(1), atol=1e-5)
