"""The published weights parsed from the libraries' sources are those that the libraries report when imported."""

from pathlib import Path

import pytest
import torch
import torchvision
from huggingface_hub import constants
from torchvision.models import get_model_weights, list_models

from tgr_cli.models import names, zoo
from tgr_cli.models.weight_addresses import IMAGENET_CLASSES, Published, hub_cache, published, torch_home

ADDRESS = "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth"


def test_the_names_are_those_of_the_zoo() -> None:
    assert tuple(zoo.ZOO) == names.NAMES
    libraries = {"torchvision": zoo.Torchvision, "timm": zoo.Timm}
    for name, reference in names.FROM_LIBRARIES.items():
        library, _, theirs = reference.partition(":")
        assert zoo.ZOO[name] == libraries[library](theirs)
    assert all(isinstance(zoo.ZOO[name], zoo.BuiltIn) for name in names.OWN)


def test_every_torchvision_classifier_has_the_address_that_torchvision_fetches() -> None:
    wrong = []
    for name in list_models(module=torchvision.models):
        for tag, weights in get_model_weights(name).__members__.items():  # DEFAULT is one of them
            found = published(f"torchvision:{name}", tag)
            if found is None or (found.tag, found.address) != (weights.name, weights.url):
                wrong.append((name, tag, found))
        assert len(get_model_weights(name).DEFAULT.meta["categories"]) == IMAGENET_CLASSES
    assert wrong == []


@pytest.mark.parametrize("name", ["resnet18", "resnet50.a1_in1k", "cait_xxs24_224", "test_vit3", "convnext_tiny.in12k"])
def test_timm_weights_have_the_repository_that_timm_asks(name: str) -> None:
    import timm

    theirs = timm.get_pretrained_cfg(name)
    found = published(f"timm:{name}")
    assert found is not None
    assert (found.address, found.tag) == (f"https://huggingface.co/{theirs.hf_hub_id}", theirs.tag)
    assert found.kept == Path(constants.HF_HUB_CACHE) / f"models--{theirs.hf_hub_id.replace('/', '--')}"


def test_a_zoo_name_leads_to_its_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    kept = tmp_path / "hub" / "checkpoints" / "vgg16_bn-6c64b313.pth"
    expected = Published(publisher="torchvision", tag="IMAGENET1K_V1", address=ADDRESS, kept=kept, num_classes=1000)
    assert published("vgg16_bn") == expected
    assert not expected.fetched
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert expected.fetched


@pytest.mark.parametrize("name", ["lenet5", "my.module:build", "torchvision:vgg61", "timm:nothing", "nothing"])
def test_of_others_nothing_is_known(name: str) -> None:
    assert published(name) is None
    assert published("vgg16_bn", "IMAGENET1K_V7") is None


@pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME", None])
def test_the_folder_is_that_of_torch(variable: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    assert str(torch_home() / "hub") == torch.hub.get_dir()


def test_the_folder_is_the_one_the_hub_uses() -> None:
    assert str(hub_cache()) == constants.HF_HUB_CACHE
