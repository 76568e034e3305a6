"""Models that cannot be measured are refused, each in one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toys import toy_net
from toys_loading import TOYS, loaded, trained

from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.errors import TgrError
from tgr_cli.models import weights, zoo
from tgr_cli.models.classifier import text_guided


def write(name: str, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, name)
    return Path(name)


def nan_weights() -> dict[str, object]:
    model = zoo.build("digits_cnn", 3)
    with torch.no_grad():
        model.conv2.bias[3] = torch.nan
    return {"checkpoint": write("nan.pth", model.state_dict())}


def of_other_weights() -> dict[str, object]:
    run = trained()
    weights.save(zoo.build("digits_cnn", 3, seed=5), run.weights)
    return {}


def guided() -> Path:
    return write("text.pth", text_guided("digits_cnn", torch.eye(3, 16)).state_dict())


def trained_for_others() -> dict[str, object]:
    trained()
    return {"classes": ("dot", "line", "ring")}


BAD: dict[str, tuple[Callable[[], dict[str, object]], str]] = {
    "head": (lambda: {"head": "tekst"}, '--head is "tekst"; use one of baseline, cosine, text. Did you mean "text"?'),
    "init": (lambda: {"init": "x"}, '--init is "x"; use one of random, template, descriptions.'),
    "both": (
        lambda: {"weights": "DEFAULT", "checkpoint": Path("x")},
        "--checkpoint and --weights are both given",
    ),
    "head of weights": (lambda: {"weights": "none", "head": "text"}, "--weights loads a baseline, which has no text"),
    "init of a baseline": (lambda: {"init": "random", "head": "baseline"}, "--init random is given for a baseline"),
    "untrained": (
        lambda: {"head": "text"},
        'runs/shops holds no trained digits_cnn with --head text; run "tgr train --model digits_cnn --head text"',
    ),
    "no pretrained": (lambda: {}, "no library has pretrained weights for this model (--weights DEFAULT)"),
    "classes of the library": (
        lambda: {"model": "resnet18"},
        'the library\'s weights IMAGENET1K_V1 of resnet18 have 1,000 classes, the data set "shops" has 3; '
        'run "tgr train" first, give --checkpoint FILE or --weights none, or name a data set of theirs '
        "(--dataset imagenet, --dataset imagefolder:PATH",
    ),
    "classes of a checkpoint": (
        lambda: {"checkpoint": write("ten.pth", zoo.build("digits_cnn", 10).state_dict())},
        'ten.pth has 10 classes (its fc.weight and fc.bias), the data set "shops" has 3; '
        "name the data set it was trained for (--dataset cifar10, --dataset stl10, --dataset mnist, "
        "--dataset fashion_mnist, --dataset digits, --dataset imagefolder:PATH or parquet:PATH for one of your own), "
        'or train a model for this one with "tgr train"',
    ),
    "classes of a text-guided checkpoint": (
        lambda: {"checkpoint": guided(), "classes": ("a", "b")},
        'text.pth has 3 classes, the data set "shops" has 2',
    ),
    "names of classes": (
        trained_for_others,
        'digits_cnn-baseline was trained with class 1 named "bar", the data set names it "line"',
    ),
    "number of classes of a run": (
        lambda: {"classes": ("a", "b"), "head": trained() and "baseline"},
        "digits_cnn-baseline has 3 classes, the data set has 2; name the data set it was trained for (--dataset image",
    ),
    "another model": (
        lambda: {"checkpoint": write("toy.pth", toy_net().state_dict())},
        "toy.pth does not fit the model: it lacks conv3.weight (and 1 more); it has conv1.weight as float32[4×1×3×3]",
    ),
    "baseline asked of text": (
        lambda: {"checkpoint": guided(), "head": "baseline"},
        "holds a text-guided classifier, where --head baseline asks for none",
    ),
    "text asked of baseline": (
        lambda: {"checkpoint": write("b.pth", zoo.build("digits_cnn", 3).state_dict()), "head": "text"},
        "holds a baseline (no head.weight and logit_scale), where --head text asks for a text-guided",
    ),
    "nan": (nan_weights, "digits_cnn (a checkpoint) has 1 NaN or infinite values in conv2.bias"),
    "other weights": (of_other_weights, "model.safetensors is not the model that"),
    "device": (lambda: {"weights": "none", "device": "gpu"}, '--device "gpu" cannot be used on this machine'),
    "absent device": (lambda: {"weights": "none", "device": "cuda:99"}, '--device "cuda:99" cannot be used'),
    "meta": (lambda: {"weights": "none", "device": "meta"}, '--device "meta" computes nothing'),
    "input of a user's model": (
        lambda: TOYS | {"options": PreprocessingOptions(resize=8, crop=8)},
        "--model toys:build_toy fails on an input of 3×8×8 (",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_model_that_cannot_be_measured_is_refused_in_one_sentence(case: str) -> None:
    make, words = BAD[case]
    with pytest.raises(TgrError) as caught:
        loaded(**make())  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
