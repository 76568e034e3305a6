"""ONNX files that are no classifier of images, each refused in one sentence."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper
from torch import nn
from toys_onnx import NEEDED, built, external, ints, toy_nodes, toy_weights, write_graph, write_toy

from tgr_cli.errors import TgrError
from tgr_cli.models.onnx_model import layers

pytestmark = NEEDED
node = helper.make_node


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
