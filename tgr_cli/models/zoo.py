"""All backbones known by name, and the prefixes for any other model.

To add a backbone, add a line to `ZOO`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from tgr_cli.data.transforms import Preprocessing
from tgr_cli.models import from_onnx, from_timm, names
from tgr_cli.models.cifar_resnet import CifarResNet
from tgr_cli.models.digits_cnn import DigitsCNN
from tgr_cli.models.entry import IMAGENET_MEAN, IMAGENET_STD, Architecture, BuiltIn
from tgr_cli.models.from_timm import HuggingFace, Timm
from tgr_cli.models.from_torchvision import Torchvision
from tgr_cli.models.from_user import GivenModule, UserFunction
from tgr_cli.models.lenet import LeNet5, LeNet5Wide
from tgr_cli.models.lenet_names import LENETS, LeNetForm
from tgr_cli.models.source import ModelSource

CIFAR = Preprocessing(resize=None, crop=32, mean=IMAGENET_MEAN, std=IMAGENET_STD)
MNIST_MEAN, MNIST_STD = (0.1307,), (0.3081,)
# Mean and standard deviation of scikit-learn's digits, whose grey levels 0-16 are scaled to [0, 1].
DIGITS = Preprocessing(resize=None, crop=8, mean=(0.3053,), std=(0.3760,), channels=1)

LIBRARIES: dict[str, Callable[[str], Architecture]] = {
    "torchvision": Torchvision,
    "timm": from_timm.named,
    "hf-hub": HuggingFace,
    "onnx": from_onnx.named,
}


def _lenet(form: LeNetForm) -> Architecture:
    """Return a LeNet for its input: resized to 28×28, or cropped to 32×32.

    Smaller images are padded to 32×32 with black, as MNIST's of 28×28 are in LeCun et al. 1998.
    """
    mean, std = (MNIST_MEAN, MNIST_STD) if form.channels == 1 else (IMAGENET_MEAN, IMAGENET_STD)
    resized: dict[str, Any] = {"resize": 28, "crop_mode": "squash"} if form.side == 28 else {"resize": None}
    prepared = Preprocessing(crop=form.side, mean=mean, std=std, channels=form.channels, **resized)
    network = LeNet5Wide if form.wide else LeNet5
    return BuiltIn(partial(network, side=form.side, channels=form.channels, width=form.width), prepared)


def _from_library(reference: str) -> Architecture:
    prefix, _, name = reference.partition(":")
    # These names are known to exist, so timm is not imported to look them up.
    return Timm(name) if prefix == "timm" else Torchvision(name)


ZOO: dict[str, Architecture] = {
    **{name: _from_library(reference) for name, reference in names.FROM_LIBRARIES.items()},
    **{f"resnet{depth}": BuiltIn(partial(CifarResNet, depth), CIFAR) for depth in (20, 32, 44, 56)},
    **{name: _lenet(form) for name, form in LENETS.items()},
    "digits_cnn": BuiltIn(DigitsCNN, DIGITS),
}


def entry(name: str) -> Architecture:
    """Return the entry of a model: a zoo name, torchvision:NAME, timm:NAME, hf-hub:REPO, onnx:FILE or module:function.

    Raises TgrError for an unknown name.
    """
    if name in ZOO:
        return ZOO[name]
    names.refuse_unknown(name)
    prefix, _, rest = name.partition(":")
    library = LIBRARIES.get(prefix)
    return UserFunction(name) if library is None else library(rest)


def of(source: ModelSource) -> Architecture:
    """Return the entry of the model that `source` names or holds; raises TgrError for an unknown name."""
    if source.given is None:
        return entry(source.model)
    assert isinstance(source.given, GivenModule)
    return source.given


def build(name: str, num_classes: int, *, seed: int = 0) -> nn.Module:
    """Return the model with `num_classes` outputs and random weights determined by `seed`.

    Raises TgrError for an unknown name.
    """
    with seeded(seed):
        return entry(name).build(num_classes)


def default_preprocessing(name: str) -> Preprocessing:
    """Return the preprocessing used for the model if its weights do not define one."""
    return entry(name).preprocessing()


def pretrained(name: str, tag: str) -> tuple[nn.Module, Preprocessing]:
    """Return the model with the library's weights `tag` (DEFAULT: the library's default), and their preprocessing.

    Raises TgrError where these weights do not exist or are neither cached nor downloadable.
    """
    known = entry(name)
    offered = known.offer(tag)
    with seeded(0):
        return known.fetch(offered), offered.preprocessing


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context manager that seeds torch's CPU generator and restores its state afterwards."""
    # torch.manual_seed would also reseed every accelerator's generator.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
