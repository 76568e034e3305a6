"""Preprocessing and published weights of models: which they are, how they are fetched, what is refused."""

import os
import re
import socket
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import httpx
import pytest
import torch
from huggingface_hub import constants
from torchvision.models import get_model_weights

from tgr_cli.data.transforms import Preprocessing
from tgr_cli.errors import TgrError
from tgr_cli.models import from_torchvision, weights, zoo
from tgr_cli.models.fetching import fetching, hugging_face
from tgr_cli.models.from_torchvision import Torchvision

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", Preprocessing(resize=256, crop=224, **IMAGENET)),  # not the 232 of its DEFAULT weights
        ("swin_v2_t", Preprocessing(resize=260, crop=256, interpolation="bicubic", **IMAGENET)),
        ("torchvision:vit_h_14", Preprocessing(resize=256, crop=224, **IMAGENET)),  # only SWAG weights, of 518 pixels
        ("focalnet_t", Preprocessing(resize=248, crop=224, interpolation="bicubic", **IMAGENET)),
        ("resnet20", Preprocessing(resize=None, crop=32, **IMAGENET)),
        ("lenet5", Preprocessing(resize=None, crop=32, mean=(0.1307,), std=(0.3081,), channels=1)),
        (
            "lenet5_28",
            Preprocessing(resize=28, crop=28, mean=(0.1307,), std=(0.3081,), channels=1, crop_mode="squash"),
        ),
        ("lenet5_wide_28_rgb", Preprocessing(resize=28, crop=28, crop_mode="squash", **IMAGENET)),
        ("lenet5_rgb_double", Preprocessing(resize=None, crop=32, **IMAGENET)),
        ("digits_cnn", Preprocessing(resize=None, crop=8, mean=(0.3053,), std=(0.3760,), channels=1)),
    ],
)
def test_default_preprocessing(name: str, expected: Preprocessing) -> None:
    assert zoo.default_preprocessing(name) == expected


@pytest.mark.parametrize(
    ("name", "tag", "words"),
    [
        ("resnet50", "V3", 'torchvision has no weights "V3" for resnet50; it has IMAGENET1K_V1, IMAGENET1K_V2, or'),
        ("focalnet_t", "x", 'timm has no weights "x" for focalnet_tiny_srf; it has ms_in1k, or take --weights none'),
        ("lenet5", "DEFAULT", "no library has pretrained weights for this model (--weights DEFAULT)"),
        ("timm:test_vit3", "DEFAULT", "could not be fetched"),
        ("hf-hub:a/b", "other", 'hf-hub:a/b has one set of weights, not "other"'),
    ],
)
def test_weights_that_do_not_exist_are_refused(name: str, tag: str, words: str) -> None:
    with pytest.raises(TgrError) as caught:
        zoo.pretrained(name, tag)
    assert words in str(caught.value)


def test_offline_torchvision_weights_fail_in_a_sentence_that_names_the_alternatives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(TgrError) as caught:
        zoo.pretrained("squeezenet1_1", "DEFAULT")
    assert str(caught.value) == (
        "torchvision's weights IMAGENET1K_V1 of squeezenet1_1 could not be fetched "
        "(<urlopen error Name or service not known>); connect to a network, or give --checkpoint FILE "
        "or --weights none for random weights"
    )
    assert capfd.readouterr() == ("", "")


def test_weights_that_torch_keeps_are_read_without_a_network_and_never_unpickled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    kept.parent.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    own = zoo.build("squeezenet1_1", 1000, seed=9)
    torch.save(own.state_dict(), kept)
    model, prepared = zoo.pretrained("squeezenet1_1", "DEFAULT")
    assert weights.fingerprint(model) == weights.fingerprint(own)
    assert prepared == Preprocessing(resize=256, crop=224, **IMAGENET)

    torch.save(own, kept)  # the whole module: reading it would run its code
    with pytest.raises(TgrError, match="squeezenet1_1 could not be fetched"):
        zoo.pretrained("squeezenet1_1", "DEFAULT")


def test_default_weights_bring_their_own_preprocessing() -> None:
    assert zoo.entry("resnet50").offer("DEFAULT").tag == "IMAGENET1K_V2"
    assert zoo.entry("resnet50").offer("DEFAULT").preprocessing == Preprocessing(resize=232, crop=224, **IMAGENET)
    assert zoo.entry("focalnet_s").offer("DEFAULT").num_classes == 1000


def test_a_hub_that_does_not_answer_is_asked_once_and_then_left(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(*args: object, **options: object) -> None:
        asked.append(args)
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(httpx, "head", refuse)
    with pytest.raises(TgrError, match=r"timm's weights focalnet_tiny_srf.ms_in1k could not be fetched"):
        zoo.pretrained("focalnet_t", "DEFAULT")
    assert len(asked) == 1
    assert constants.HF_HUB_OFFLINE is False
    with hugging_face():
        assert constants.HF_HUB_OFFLINE is True


def test_fetching_leaves_the_process_as_it_was() -> None:
    def fetch() -> None:
        with fetching("x"):
            assert socket.getdefaulttimeout() == 10
            assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
            raise EOFError

    with pytest.raises(TgrError, match=r"x could not be fetched \(EOFError\)"):
        fetch()
    assert socket.getdefaulttimeout() is None
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_features_without_a_classifier_are_refused() -> None:
    with pytest.raises(TgrError, match=r"IMAGENET1K_FEATURES of vgg16 have no classifier; .*DEFAULT \(IMAGENET1K_V1\)"):
        zoo.entry("torchvision:vgg16").offer("IMAGENET1K_FEATURES")


@pytest.mark.parametrize("name", ["googlenet", "torchvision:inception_v3"])
def test_published_files_are_told_by_their_digest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision sets transform_input of these two only for its own files."""
    file = Path("any-name.pth")
    file.write_bytes(b"published")
    entry = zoo.entry(name)
    assert isinstance(entry, Torchvision)
    published = get_model_weights(entry.name).DEFAULT
    model = SimpleNamespace(transform_input=False)
    notes: list[str] = []
    reporter = SimpleNamespace(note=notes.append)
    entry.as_published(file, model, reporter)  # type: ignore[arg-type]
    assert not model.transform_input
    assert "does not say whether" in notes.pop()
    monkeypatch.setattr(from_torchvision, "sha256_file", lambda _: re.search("-([0-9a-f]{8})", published.url)[1] * 8)  # type: ignore[index]
    prepared = entry.as_published(file, model, reporter)  # type: ignore[arg-type]
    assert model.transform_input
    assert f"any-name.pth is torchvision's {published.name}" in notes.pop()
    assert prepared.crop == published.transforms().crop_size[0]
    guided = SimpleNamespace(backbone=SimpleNamespace(transform_input=False))
    entry.as_published(file, guided, reporter)  # type: ignore[arg-type]
    assert guided.backbone.transform_input
