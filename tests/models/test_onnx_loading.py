"""ONNX files behind --model: the size of their images, their weights, and what they cannot do."""

from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from toys import CLASSES
from toys_artifacts import invoke
from toys_checkpoints import Notes
from toys_onnx import NEEDED, toy_nodes, toy_weights, write_graph, write_toy

from tgr_cli.artifacts.layout import Workspace
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.errors import TgrError
from tgr_cli.models import names
from tgr_cli.models.loading import load
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import Reporter

pytestmark = NEEDED
node = helper.make_node


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


def test_a_network_on_which_images_have_no_effect_could_not_be_compared() -> None:
    faint = [node("Mul", ["logits", "tiny"], ["t"]), node("Add", ["t", "one_each"], ["z"])]
    for tiny, unknown in ((1e-9, True), (1e-3, False)):
        stored = {**toy_weights(), "tiny": np.float32(tiny), "one_each": np.ones(3, np.float32)}
        write_graph(Path("toy.onnx"), [*toy_nodes(), *faint], stored, output="z")
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
