"""`tgr cam`: maps before and after faults, the grid, the artifact, and unchanged models."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from toys import CLASSES, ToyNet, toy_net, write_toy_dataset
from toys_artifacts import formats_of, invoke

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.artifacts.schemas import SALIENCY
from tgr_cli.data.datasets import DataSource, open_split
from tgr_cli.data.transforms import Preprocessing
from tgr_cli.errors import TgrError
from tgr_cli.faults.graph import Network
from tgr_cli.models import weights
from tgr_cli.models.card import ModelCard
from tgr_cli.models.classifier import TextGuidedClassifier
from tgr_cli.models.loading import LoadedModel
from tgr_cli.saliency import models
from tgr_cli.saliency.ablation import Explainer

TOY = ["--model", "toys:build_toy", "--resize", 8, "--crop", 8, "--mean", "0.5", "--std", "0.25"]
DATA = ["--dataset", "parquet:toy", "--batch-size", 4, "-q"]
RUN = Path("runs/toy/toys-build_toy-baseline")


@pytest.fixture(autouse=True)
def _toy() -> None:
    write_toy_dataset(Path("toy"))
    save_file(toy_net(4).state_dict(), "m.safetensors")


@pytest.fixture(scope="module")
def captured() -> dict[tuple, Network]:
    """Return the networks with cached traces: tracing a model takes longer than explaining it."""
    return {}


@pytest.fixture(autouse=True)
def _captured_once(captured: dict[tuple, Network], monkeypatch: pytest.MonkeyPatch) -> None:
    capture = Network.capture

    def once(model: nn.Module, shape: tuple[int, ...], **options: Any) -> Network:
        key = (type(model), weights.fingerprint(model), shape, *options.items())
        if key not in captured:
            captured[key] = capture(model, shape, **options)
        return captured[key]

    monkeypatch.setattr(Network, "capture", once)


def explain(*arguments: object) -> dict:
    """Run `tgr cam` on the toy checkpoint and return what it prints as JSON."""
    return json.loads(invoke("cam", *TOY, *DATA, "--checkpoint", "m.safetensors", "--json", *arguments).stdout)


def trained(name: str, model: nn.Module, head: str, init: str | None) -> Path:
    """Write a run folder in the form of `tgr train`, and return it."""
    run = RunFolder(Path("runs/toy") / name)
    weights.save(model, run.weights)
    ModelCard(
        model="toys:build_toy",
        head=head,
        init=init,
        num_classes=3,
        embedding_dim=None if head == "baseline" else 5,
        classes=CLASSES,
        preprocessing=Preprocessing(resize=8, crop=8, mean=(0.5,), std=(0.25,), channels=1),
        seed=0,
        fingerprint=weights.fingerprint(model),
        params=weights.parameters(model),
    ).write(run.card)
    return run.path


def two_runs() -> tuple[Path, Path]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        guided = TextGuidedClassifier(ToyNet(5), 3, 5)
    return trained("first", toy_net(4), "baseline", None), trained("second", guided, "text", "template")


def test_the_artifact_says_what_the_network_does_before_and_after() -> None:
    shown = explain("--images", 3, "--faults", 40)
    artifact = store.read(RUN / "saliency.parquet", SALIENCY)
    rows = artifact.table.to_pylist()
    assert [row["image_id"] for row in rows] == ["toy/0.png", "toy/10.png", "toy/20.png"]  # even steps through 30
    images = open_split(DataSource(dataset="parquet:toy"), "eval")
    with torch.no_grad():
        for row in rows:
            pixels = np.asarray(images.image(int(row["image_id"][4:-4])), np.float32) / 255
            share_C = toy_net(4)(torch.from_numpy((pixels - 0.5) / 0.25)[None, None])[0].softmax(0)
            assert row["prediction_before"] == row["explained"] == int(share_C.argmax())
            assert row["top1_before"] == row["explained_before"] == pytest.approx(float(share_C.max()), abs=1e-6)
    assert {(row["layer"], row["height"], row["width"], len(row["map_before"])) for row in rows} == {("pool", 2, 2, 4)}
    assert all(row["outcome"] == ("benign", "sdc")[row["prediction_after"] != row["prediction_before"]] for row in rows)
    assert all(max(row["map_after"]) <= 1 and min(row["map_after"]) == 0 for row in rows)
    assert any(row["difference"] > 0.01 for row in rows)
    (summary,) = shown["models"]
    known = [row["shift"] for row in rows if row["shift"] is not None]
    assert summary["images"] == 3
    assert summary["shifted"] == len(known)
    assert summary["shift"] == pytest.approx(np.mean(known))
    assert sum(artifact.provenance.extra["struck"].values()) == 40
    assert artifact.provenance.model == weights.fingerprint(toy_net(4))
    with Image.open(RUN / "saliency.png") as grid:
        assert grid.format == "PNG"
        assert grid.width < grid.height  # three columns, three rows with captions


def test_one_seed_gives_the_same_bytes_and_another_other_faults() -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        explain("--images", 2, "--faults", 60, "--seed", seed, "--out", f"{name}.parquet")
    for suffix in ("parquet", "png"):
        assert Path(f"a.{suffix}").read_bytes() == Path(f"b.{suffix}").read_bytes()
    first, other = (store.read(Path(f"{name}.parquet"), SALIENCY).table for name in "ac")
    assert first["map_before"].equals(other["map_before"])
    assert not first["map_after"].equals(other["map_after"])


def test_no_finite_logit_leaves_nulls_and_is_said() -> None:
    shown = invoke(
        *("cam", *TOY, *DATA[:-1], "--checkpoint", "m.safetensors"),
        *("--limit", "none", "--faults", 5000, "--images", 2),
    )
    table = store.read(RUN / "saliency.parquet", SALIENCY).table
    assert table["outcome"].to_pylist() == ["non_finite"] * 2
    for name in ("prediction_after", "top1_after", "explained_after", "correlation", "shift", "map_after"):
        assert table[name].null_count == 2
    assert table["map_before"].null_count == 0
    assert "2 of 2 images have logits that are not finite after the faults, and no map; hold" in shown.stderr
    assert "not finite" in shown.stdout


def test_the_true_class_and_named_images_are_explained_where_asked_for() -> None:
    explain("--label", "true", "--image-id", "toy/7.png", "--image-id", "toy/5.png", "--faults", 5, "--layer", "conv2")
    rows = store.read(RUN / "saliency.parquet", SALIENCY).table.to_pylist()
    assert [row["image_id"] for row in rows] == ["toy/7.png", "toy/5.png"]
    assert [row["explained"] for row in rows] == [row["label"] for row in rows] == [1, 2]
    assert [row["layer"] for row in rows] == ["conv2", "conv2"]


def test_two_runs_side_by_side_get_the_same_faults() -> None:
    first, second = two_runs()
    shown = invoke(
        *("cam", "first", second, "--dataset", "parquet:toy", "--batch-size", 4, "--images", 2, "--faults", 50)
    )
    artifact = store.read(Path("runs/toy/saliency.parquet"), SALIENCY)
    assert artifact.table["model"].to_pylist() == ["first"] * 2 + ["second"] * 2
    assert set(artifact.provenance.extra["struck"]) == {"conv1.weight", "conv2.weight"}
    assert formats_of(artifact.path) == {"first": "float32", "second": "float32"}
    assert (
        "50 faults in 2 weight tensors of 252 elements, all present at once and the same in both models" in shown.stderr
    )
    assert "1 of first (72 elements) and 3 of second (136 elements)" in shown.stderr  # fc; fc, head and the scale
    with Image.open("runs/toy/saliency.png") as grid:
        assert grid.width > grid.height
    assert not (first / "saliency.parquet").exists()


def test_a_checkpoint_against_another() -> None:
    save_file(toy_net(5).state_dict(), "n.safetensors")
    shown = explain("--against", "n.safetensors", "--images", 1, "--faults", 5)
    names = [f"{RUN.name}-{weights.fingerprint(toy_net(seed))[:8]}" for seed in (4, 5)]
    assert [summary["model"] for summary in shown["models"]] == names


@pytest.fixture
def loaded(captured: dict[tuple, Network], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LoadedModel]]:
    """Return the models as loaded by the command, each traced anew."""
    captured.clear()
    found: list[LoadedModel] = []
    load = models.load

    def keep(*arguments: object, **options: object) -> LoadedModel:
        found.append(load(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(models, "load", keep)
    return found


@pytest.mark.parametrize("fails", [None, 1, 4])  # never, at the first map, at the last one after faults
def test_the_weights_are_bitwise_as_before_also_after_an_exception(
    fails: int | None, loaded: list[LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, whole = [], Explainer.explain

    def explain_or_fail(self: Explainer, *arguments: object) -> np.ndarray:
        calls.append(None)
        if len(calls) == fails:
            raise RuntimeError("in the middle")
        return whole(self, *arguments)

    monkeypatch.setattr(Explainer, "explain", explain_or_fail)
    if fails is None:
        explain("--images", 2, "--faults", 300)
    else:
        with pytest.raises(RuntimeError, match="in the middle"):
            explain("--images", 2, "--faults", 300)
        assert not RUN.exists() or not list(RUN.iterdir())
    (model,) = loaded
    assert weights.fingerprint(model.model) == model.fingerprint == weights.fingerprint(toy_net(4))
    for one in model.model.modules():
        assert not one._forward_hooks
        assert not one._forward_pre_hooks
    assert [type(child) for child in model.model.modules()] == [type(child) for child in toy_net().modules()]


def test_neither_file_is_there_where_one_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> Path:
        raise TgrError("the disk is full")

    monkeypatch.setattr(store, "write", fails)
    with pytest.raises(TgrError, match="the disk is full"):
        explain("--images", 1, "--faults", 5)
    assert list(RUN.iterdir()) == []


def test_names_that_are_formulas_or_commands_are_drawn_as_they_are() -> None:
    Path("names.txt").write_text("$\\frac{1}$\n\x1b[31m猫\n" + "long " * 30 + "\n")
    explain("--images", 3, "--faults", 5, "--class-names", "names.txt")
    assert (RUN / "saliency.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "no model is named; name one run folder, or two, or a model with --model"),
        ("first --model toys:build_toy", "--model and run folders are both named"),
        ("first second first", "3 runs are named"),
        ("first --against second", "--against sets a second model beside --model"),
        ("first --checkpoint m.safetensors", "--checkpoint says which weights of --model"),
        ("nowhere", 'there is no run "nowhere" in runs/toy; it holds bare, first, second'),
        ("bare", "runs/toy/bare holds no trained model"),
        ("first --images 3 --image-id toy/1.png", "--images and --image-id both choose the images"),
        ("first --image-id toy/99.png", 'has no image "toy/99.png"; its images are called'),
        ("first --images 101", "101 images make a grid that cannot be read; use at most 100"),
        ("first --layer convv", r'--layer "convv" is no module .*\. Did you mean "conv2"'),
        ("first --limit clam", '--limit is "clam"; use one of clamp, zero, none. Did you mean "clamp"'),
        ("first --label gold", '--label is "gold"; use one of true, golden. Did you mean "golden"'),
        ("first --faults 100000", "--faults is 100,000, but the weights have 10,368 bits"),
        ("first --out maps.PNG", "--out maps.PNG names the artifact"),
        ("first runs/toy/first", r"both models are first-\w{8}, of the same weights; name one, or another beside it"),
        ("--model toys_choosing:build --weights none", "maps need its graph: check that it takes images of"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(arguments: str, sentence: str) -> None:
    two_runs()
    Path("runs/toy/bare").mkdir()
    before = sorted(Path().rglob("*"))
    with pytest.raises(TgrError, match=sentence):
        invoke("cam", *shlex.split(arguments), *DATA, "--resize", 8, "--crop", 8, "--mean", "0.5", "--std", "0.25")
    assert sorted(Path().rglob("*")) == before


def test_a_transformer_is_told_that_its_last_maps_say_little() -> None:
    with pytest.raises(TgrError, match=r"the last layer with maps of .* is patches, and most of the work comes after"):
        invoke("cam", "--model", "toys_tokens:build", "--weights", "none", *TOY[2:], *DATA)


def test_the_missing_package_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    monkeypatch.delitem(sys.modules, "tgr_cli.saliency.ablation")
    with pytest.raises(TgrError, match=r"tgr cam needs the grad-cam package; run: pip install 'tgr\[cam\]'"):
        explain()
    assert not Path("runs").exists()


@pytest.mark.shared
def test_real_images_are_looked_at_where_their_object_is(shared_data: Path) -> None:
    """A tench lies across the middle rows: the map's centre is there, also after 2,000 clamped faults."""
    invoke(
        *("cam", "--model", "squeezenet1_1", "--checkpoint", shared_data / "weights/squeezenet1_1_imagenet.pth"),
        *(
            "--dataset",
            f"parquet:{shared_data / 'imagenet_sample/images.parquet'}",
            "--images",
            1,
            "--out",
            "s.parquet",
        ),
    )
    (row,) = store.read(Path("s.parquet"), SALIENCY).table.to_pylist()
    assert (row["prediction_before"], row["prediction_after"]) == (0, 0)
    rows_H = np.reshape(row["map_before"], (13, 13)).sum(axis=1)
    assert rows_H[4:10].sum() > 0.8 * rows_H.sum()
    assert row["correlation"] > 0.95
    assert row["shift"] < 0.02
