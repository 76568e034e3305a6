"""Recipes: published values field by field, automatic choice, overrides and scaling with the batch size."""

import fnmatch
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.models.zoo import ZOO
from tgr_cli.training import recipes
from tgr_cli.training.recipe import Overrides, Recipe

PAPERS = {
    "alexnet_vgg": ("alexnet", "vgg16_bn", "vgg19_bn"),
    "resnet": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    "mobilenet_v2": ("mobilenet_v2",),
    "maxvit": ("maxvit_t",),
    "swin_v2": ("swin_v2_t", "swin_v2_s"),
    "focalnet": ("focalnet_t", "focalnet_s"),
}


@pytest.mark.shared
@pytest.mark.parametrize(("name", "model"), [(name, model) for name, models in PAPERS.items() for model in models])
def test_a_backbones_recipe_is_table_4s(name: str, model: str, shared_data: Path) -> None:
    published = tomllib.loads((shared_data.parent / "reference" / "published.toml").read_text())["neurips2023"]
    expected = published["table4"][name]
    found = recipes.resolve("auto", model, "imagenet", {}, processes=4, cuda=True)
    assert found.name == name
    recipe = found.recipe
    names = {"batch": "batch_size", "warmup": "warmup_epochs", "step": "step_size"}
    published_fields = {names.get(field, field): value for field, value in expected.items() if field != "note"}
    assert len(published_fields) >= 13
    assert {field: getattr(recipe, field) for field in published_fields} == published_fields
    assert recipe.lr_batch == 4 * recipe.batch_size
    assert set(found.origins.values()) == {"recipe"}


def test_what_the_authors_scripts_add() -> None:
    swin, maxvit = recipes.named("swin_v2"), recipes.named("maxvit")
    assert (swin.repeats, swin.clip_grad_norm, swin.decay, swin.amp) == (4, 5.0, "weights", "fp16")
    assert (maxvit.ema_every, maxvit.clip_grad_norm, maxvit.sync_bn, maxvit.amp) == (32, 1.0, True, "fp16")
    for recipe in (swin, maxvit):
        assert (recipe.interpolation, recipe.augment) == ("bicubic", "trivial")
        assert recipe.ema_decay > 0


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_sound_and_its_models_exist(name: str) -> None:
    assert isinstance(recipes.named(name), Recipe)
    for written in recipes._tables()[name].get("models", ()):
        assert fnmatch.filter(ZOO, written), f"no model of the zoo is called {written}"


@pytest.mark.parametrize(
    ("model", "dataset", "name"),
    [
        ("resnet50", "cifar10", "resnet"),
        ("resnet20", "cifar10", "cifar"),
        ("timm:resnet10t", "cifar100", "cifar"),
        ("googlenet", "food101", "food101"),
        ("torchvision:resnet18", "stl10", "stl10"),
        ("lenet5_wide", "digits", "lenet"),
        ("lenet5_28_rgb_half", "cifar10", "lenet"),
        ("lenet5_mine:build", "cifar10", "cifar"),  # lenet5* are the zoo's, not a user's
        ("digits_cnn", "digits", "digits"),
        ("mine:build", "fashion_mnist", "lenet"),
    ],
)
def test_the_model_decides_before_the_data_set(model: str, dataset: str, name: str) -> None:
    found = recipes.resolve("auto", model, dataset, {})
    assert found.name == name
    assert found.notes[0] == f'"--recipe auto" takes the recipe {name} for {model} on {dataset}'


def test_the_rate_scales_with_the_images_a_step_and_says_so() -> None:
    found = recipes.resolve("maxvit", "maxvit_t", "imagenet", {"batch_size": 64}, processes=2, cuda=True)
    assert found.recipe.lr == pytest.approx(0.003 * 128 / 4096)
    assert found.recipe.min_lr == pytest.approx(1e-5 * 128 / 4096)
    assert (found.recipe.lr_batch, found.origins["lr"], found.origins["batch_size"]) == (128, "scaling", "option")
    assert found.notes == (
        "the learning rate of the recipe maxvit is for 4,096 images a step; scaled linearly to 128, it is 9.375e-05; "
        "set it with --lr",
    )


def test_every_field_can_be_given_and_a_rate_that_is_given_does_not_scale() -> None:
    given: dict[str, Any] = {"lr": 0.5, "epochs": 7, "batch_size": 32, "schedule": "cosine", "sync_bn": True}
    found = recipes.resolve("resnet", "resnet18", "imagenet", given)
    assert {name: getattr(found.recipe, name) for name in given} == given
    assert {found.origins[name] for name in given} == {"option"}
    assert found.notes == ()
    overridable = {field.name for field in fields(Overrides)} | {"resize", "crop", "interpolation"}
    assert {field.name for field in fields(Recipe)} - overridable == {"lr_batch"}


def test_no_recipe_is_the_defaults_for_any_batch() -> None:
    found = recipes.resolve("none", "resnet18", "imagenet", {"batch_size": 7}, processes=3)
    assert found.recipe == Recipe(batch_size=7)
    assert set(found.origins.values()) == {"default", "option"}
    assert found.notes == ()


def test_a_recipes_mixed_precision_is_for_cuda_and_this_is_said() -> None:
    found = recipes.resolve("swin_v2", "swin_v2_t", "imagenet", {}, processes=4)
    assert (found.recipe.amp, found.origins["amp"]) == ("none", "device")
    assert found.notes == ("the recipe swin_v2 computes in fp16 on CUDA devices; here it is float32 (see --amp)",)
    assert recipes.resolve("swin_v2", "swin_v2_t", "imagenet", {"amp": "bf16"}).recipe.amp == "bf16"


def test_unknown_names_end_in_a_sentence() -> None:
    with pytest.raises(TgrError, match=r'--recipe is "resnets"; use one of auto, none, .*mean "resnet"'):
        recipes.resolve("resnets", "resnet18", "imagenet", {})
    with pytest.raises(TgrError, match=r"no recipe is known for googlenet on imagenet; name one with --recipe \(alex"):
        recipes.resolve("auto", "googlenet", "imagenet", {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gamma": 0.5}, '--gamma has no meaning for --schedule cosine; use "--schedule step" or leave it out'),
        ({"step_size": 5, "schedule": "constant"}, "--step-size has no meaning for --schedule constant"),
        ({"min_lr": 0.01, "schedule": "step"}, 'no meaning for --schedule step; use "--schedule cosine"'),
        ({"momentum": 0.5, "optimizer": "adamw"}, '--momentum has no meaning for --optimizer adamw; use "--optimizer'),
        ({"ema_every": 8}, "--ema-every has no meaning without --ema-decay"),
    ],
)
def test_what_the_recipe_makes_no_use_of_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(TgrError, match=message):
        recipes.resolve("none", "resnet18", "imagenet", given)


def test_options_that_the_recipe_makes_use_of_are_taken() -> None:
    given = {"schedule": "step", "gamma": 0.5, "step_size": 5, "momentum": 0.5, "ema_decay": 0.9, "ema_every": 8}
    found = recipes.resolve("none", "resnet18", "imagenet", given).recipe
    assert {name: getattr(found, name) for name in given} == given


def test_the_lowest_rate_scales_alone_where_the_rate_is_given_and_says_that() -> None:
    found = recipes.resolve("maxvit", "maxvit_t", "imagenet", {"lr": 0.5, "batch_size": 1024}, processes=2, cuda=True)
    assert (found.recipe.lr, found.recipe.min_lr) == (0.5, pytest.approx(5e-6))
    assert found.notes == (
        "the lowest learning rate of the recipe maxvit is for 4,096 images a step; scaled linearly to 2,048, it is "
        "5e-06; set it with --min-lr",
    )


def test_batch_norm_over_all_processes_is_for_cuda_and_this_is_said() -> None:
    found = recipes.resolve("none", "resnet18", "imagenet", {"sync_bn": True}, processes=2)
    assert (found.recipe.sync_bn, found.origins["sync_bn"]) == (False, "device")
    assert found.notes == ("batch norm takes the images of each process for themselves: --sync-bn is for CUDA devices",)
    assert recipes.resolve("none", "resnet18", "imagenet", {"sync_bn": True}, processes=2, cuda=True).recipe.sync_bn
