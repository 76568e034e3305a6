"""ONNX files: a right network, or one sentence."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx2pytorch")
import onnx
from onnx import NodeProto, TensorProto, helper
from toys import CLASSES, toy_net, write_toy_dataset
from toys_artifacts import invoke
from toys_checkpoints import Notes
from toys_onnx import REST, head, ints, toy_nodes, toy_weights, values, write_graph, write_toy

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.errors import TgrError
from tgr_cli.faults.hooked import capture
from tgr_cli.models import names, weights, zoo
from tgr_cli.models.loading import load
from tgr_cli.models.onnx_model import file, layers
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import Reporter

node = helper.make_node


def built(path: Path) -> nn.Module:
    return zoo.build(f"onnx:{path}", 3)


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


def external(path: Path) -> Path:
    write_toy(path)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="beside.data", size_threshold=0)
    return path


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


def changed(change: Callable[[onnx.ModelProto], object]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        model = onnx.load(write_toy(path))
        change(model)
        onnx.save(model, path)

    return write


def graph(nodes: Sequence[NodeProto], stored: dict[str, np.ndarray] | None = None, **options: object) -> Callable:
    return lambda path: write_graph(path, nodes, stored or toy_weights(), **options)


def cut(path: Path) -> None:
    path.write_bytes(write_toy(path).read_bytes()[:-40])


def without_weights(path: Path) -> None:
    external(path)
    Path("beside.data").unlink()


def short_weights(path: Path) -> None:
    external(path)
    Path("beside.data").write_bytes(Path("beside.data").read_bytes()[:100])


TOY = toy_nodes()
BY_ONE = [*TOY[:-2], node("Reshape", ["conv2_p", "flat_shape"], ["flat"]), TOY[-1]]
TO_ONE = {**toy_weights(), "flat_shape": ints(1, 24)}
STORED = {**toy_weights(), "one": ints(1), "hundred": np.float32(100), "yes": np.array(True)}
DECOMPOSED = [
    node("Exp", ["logits"], ["e"]),
    node("ReduceSum", ["e", "one"], ["sum"], keepdims=1),
    node("Div", ["e", "sum"], ["p"]),
]
DRAWN = node("RandomNormalLike", ["logits"], ["noise"])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (cut, "is no ONNX file, or is cut short"),
        (lambda path: path.write_bytes(b""), "holds no network"),
        (lambda path: path.write_text("conv1: {}\n" * 9), "a.onnx is no ONNX file, or is cut short"),
        (without_weights, "keeps its weights in beside.data beside it, which cannot be read"),
        (short_weights, "keeps its weights in beside.data beside it, which cannot be read"),
        (changed(lambda model: setattr(model.opset_import[0], "version", 99)), "is of opset 99 and IR version 10"),
        (changed(lambda model: setattr(model, "ir_version", 99)), "install a newer onnx, or export with opset_version"),
        (changed(lambda model: model.graph.node.pop(2)), "is not a valid ONNX file"),
        (changed(lambda model: model.graph.output.pop()), "has 0 outputs"),
        (graph(TOY, outputs=("logits", "flat")), r"has 2 outputs \(logits, flat\), where one tensor of logits"),
        (
            changed(lambda m: m.graph.input.append(helper.make_tensor_value_info("mask", 1, [1]))),
            r"has 2 inputs \(x, mask\), where one batch of images is expected",
        ),
        (graph(TOY, image=("n", 64)), r'an input "x" of \?×64, where images of N×C×H×W are expected'),
        (graph(TOY, image=("n", 4, 8, 8)), "where images of 1 or 3 channels are expected"),
        (graph(TOY, image=("n", 1, 8, 6)), "takes images of 8×6 pixels; tgr can only prepare square ones"),
        (
            graph([node("Cast", ["x"], ["f"], to=1), *TOY], dtype=TensorProto.UINT8, result=TensorProto.FLOAT),
            'has an input "x" of uint8, where one of float32, float16 is expected',
        ),
        (
            graph([*TOY, node("Softmax", ["logits"], ["p"], "soft")], output="p"),
            r'ends in a Softmax \("soft"\), where logits are expected: .* "logits", as the output',
        ),
        *(
            (
                graph([*TOY, node(kind, ["logits"], ["p"], "soft"), *after], STORED, output="z"),
                rf'ends in an? {kind} \("soft"\), where logits are expected: .* "logits", as the output',
            )
            for kind, after in (
                ("Sigmoid", [node("Clip", ["p"], ["z"])]),
                ("Hardmax", [node("Unsqueeze", ["p", "one"], ["u"]), node("Squeeze", ["u", "one"], ["z"])]),
                ("ArgMax", [node("Cast", ["p"], ["z"], to=1)]),
            )
        ),
        (
            graph([*TOY, *DECOMPOSED, node("Mul", ["p", "hundred"], ["z"])], STORED, output="z"),
            r"answers with probabilities \(none is below 0, and they sum to 100 for each image\)",
        ),
        (
            graph([*TOY, node("Unsqueeze", ["logits", "one"], ["z"])], STORED, output="z"),
            r"answers 1 image\(s\) with \(1, 1, 3\), .* export it with its logits flattened",
        ),
        (graph(TOY, image=("n", 1, 0, 0)), r'an input "x" of \?×1×0×0, where no size may be 0'),
        (graph(TOY, image=(0, 1, 8, 8)), r'an input "x" of 0×1×8×8, where no size may be 0'),
        (
            graph(TOY, image=("n", 1, "h", "w")),
            "cannot run a.onnx on images of 224×224, a size that it leaves open .* and width of its images fixed",
        ),
        (
            graph([*TOY, node("Dropout", ["logits", "", "yes"], ["d"]), node("Neg", ["d"], ["z"])], STORED, output="z"),
            r"is in training mode \(Dropout\); export it in evaluation mode",
        ),
        (
            graph([node("Cast", ["x"], ["f"], to=1), *TOY], dtype=TensorProto.DOUBLE, result=TensorProto.FLOAT),
            'has an input "x" of float64, .*; export it in float32',
        ),
        (
            graph([*TOY, DRAWN, node("Add", ["logits", "noise"], ["noisy"])], output="noisy"),
            r"draws random numbers \(RandomNormalLike\); export it in evaluation mode",
        ),
        (
            graph(
                [*TOY, node("QuantizeLinear", ["logits", "s"], ["q"]), node("DequantizeLinear", ["q", "s"], ["d"])],
                {**toy_weights(), "s": np.float32(0.1)},
                output="d",
            ),
            r"is quantised \(QuantizeLinear, DequantizeLinear\); give the file before quantisation",
        ),
        (
            graph([*TOY, node("FusedGemm", ["logits"], ["z"], domain="com.microsoft")], output="z"),
            r"operators that are not ONNX's own \(com.microsoft.FusedGemm\)",
        ),
        (
            graph(
                [*TOY, node("Unique", ["logits"], ["u"], axis=0)],
                output="u",
            ),
            "cannot be run in torch|is not one of|answers 1 image|gives other logits|dynamic batch axis",
        ),
        (graph(BY_ONE, TO_ONE, image=(1, 1, 8, 8)), "was exported for batches of 1 alone"),
        (
            graph(
                [*TOY, node("ArgMax", ["logits"], ["k"], axis=1), node("Expand", ["logits", "k"], ["z"])], output="z"
            ),
            'the Expand "z" takes a shape or bound from "k", which depends on the image\'s values',
        ),
    ],
)
def test_a_file_that_is_no_classifier_of_images_is_refused(write: Callable[[Path], object], words: str) -> None:
    write(Path("a.onnx"))
    with pytest.raises(TgrError, match=words) as told:
        built(Path("a.onnx"))
    assert str(told.value).count("\n") == 0


def test_a_log_of_probabilities_is_as_good_as_logits() -> None:
    network = built(write_graph(Path("log.onnx"), [*TOY, node("LogSoftmax", ["logits"], ["z"])], STORED, output="z"))
    x = torch.rand(2, 1, 8, 8)
    assert torch.allclose(network(x), toy_net()(x).log_softmax(1), atol=1e-5)


def test_half_precision_inside_is_compared_as_such() -> None:
    half = {name: value.astype(np.float16) for name, value in toy_weights().items()}
    nodes = [node("Cast", ["x"], ["x_half"], to=10), *toy_nodes(), node("Cast", ["logits"], ["z"], to=1)]
    nodes[1].input[0] = "x_half"
    assert file.read(write_graph(Path("half.onnx"), nodes, half, output="z")).precision == "float16"
    x = torch.rand(3, 1, 8, 8)
    assert torch.allclose(built(Path("half.onnx"))(x), toy_net()(x), atol=1e-2)
    through = [node("Cast", ["logits"], ["l"], to=10), node("Cast", ["l"], ["z"], to=1)]
    assert file.read(write_graph(Path("cast.onnx"), [*TOY, *through], STORED, output="z")).precision == "float16"


def test_a_network_on_which_images_have_no_effect_could_not_be_compared() -> None:
    faint = [node("Mul", ["logits", "tiny"], ["t"]), node("Add", ["t", "one_each"], ["z"])]
    for tiny, unknown in ((1e-9, True), (1e-3, False)):
        stored = {**toy_weights(), "tiny": np.float32(tiny), "one_each": np.ones(3, np.float32)}
        write_graph(Path("toy.onnx"), [*TOY, *faint], stored, output="z")
        told = Notes()
        loaded(told)
        assert any("could not be compared with ONNX Runtime: random images" in note for note in told.said) is unknown


def test_a_file_of_other_classes_names_no_function() -> None:
    write_toy(Path("toy.onnx"))
    with pytest.raises(TgrError, match=r"expected; name the data set that it was made for"):
        load(
            ModelSource(model="onnx:toy.onnx"),
            Workspace(Path("runs"), "shops"),
            (*CLASSES, "more"),
            preprocessing=PreprocessingOptions(),
            device="cpu",
        )


def test_other_logits_than_onnx_runtime_s_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = layers.module_of
    wrong = {"Relu": nn.Softplus(), "Gemm": nn.Linear(24, 3)}
    write_toy(Path("toy.onnx"))
    for kind, module in wrong.items():
        monkeypatch.setattr(
            "tgr_cli.models.onnx_model.network.module_of",
            lambda node, *rest, kind=kind, module=module: module if node.op_type == kind else right(node, *rest),
        )
        with pytest.raises(
            TgrError, match=r"gives other logits in torch than in ONNX Runtime: they differ by .* 1e-05"
        ):
            built(Path("toy.onnx"))


def loaded(reporter: Reporter | None = None, path: str = "onnx:toy.onnx", **options: str | int) -> object:
    return load(
        ModelSource(model=path),
        Workspace(Path("runs"), "shops"),
        CLASSES,
        preprocessing=PreprocessingOptions(**options),  # type: ignore[arg-type]
        device="cpu",
        reporter=reporter or Reporter(),
    )


def test_the_size_of_the_images_is_the_file_s() -> None:
    write_toy(Path("toy.onnx"))
    assert loaded().preprocessing.input_shape == (1, 8, 8)  # type: ignore[attr-defined]
    with pytest.raises(TgrError, match="takes images of 1×8×8, where 1×6×6 are given; set --crop"):
        loaded(resize=6, crop=6)


def test_a_file_brings_its_own_weights_and_is_not_trained() -> None:
    write_toy(Path("toy.onnx"))
    for option, value in (("weights", "none"), ("checkpoint", Path("a.pth")), ("head", "cosine")):
        with pytest.raises(TgrError, match=f"own weights and last layer; leave out --{option} {value}"):
            ModelSource(model="onnx:toy.onnx", **{option: value})  # type: ignore[arg-type]
    with pytest.raises(
        TgrError, match=r"onnx:toy.onnx is trained already, and tgr trains no network from an ONNX file"
    ):
        invoke("train", "--model", "onnx:toy.onnx", "--dataset", "digits", "--epochs", 1)


def test_what_is_missing_is_said_before_torch_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TgrError, match=r"no.onnx does not exist or is no file"):
        invoke("sites", "--model", "onnx:no.onnx")
    write_toy(Path("toy.onnx"))
    monkeypatch.setattr(names, "find_spec", lambda package: None if package == "onnxruntime" else package)
    with pytest.raises(TgrError, match=r"--model onnx:toy.onnx needs onnxruntime; run: pip install 'tgr\[onnx\]'"):
        invoke("evaluate", "--model", "onnx:toy.onnx", "--dataset", "digits")
