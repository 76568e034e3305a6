"""Torchvision classification models."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torchvision
from torch import nn
from torchvision.models import get_model, get_model_weights, list_models

from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.data.transforms import Preprocessing
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.entry import IMAGENET, Architecture, Pretrained
from tgr_cli.models.fetching import fetching
from tgr_cli.reporting import Reporter

# These have auxiliary classifiers, which are active only in training and would add terms to the loss.
WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


@final
@dataclass(frozen=True)
class Torchvision(Architecture):
    """`torchvision.models.<name>`, without auxiliary classifiers."""

    name: str

    def __post_init__(self) -> None:
        known = list_models(module=torchvision.models)
        if self.name not in known:
            raise TgrError(
                f'torchvision has no classifier "{self.name}"; its documentation lists them.'
                + did_you_mean(self.name, known)
            )

    def build(self, num_classes: int) -> nn.Module:
        options = {"aux_logits": False, "init_weights": True} if self.name in WITH_AUXILIARY_HEADS else {}
        return get_model(self.name, weights=None, num_classes=num_classes, **options)

    def preprocessing(self) -> Preprocessing:
        # Take the first tag: the weights of the architecture's paper. SWAG weights use larger inputs than the default.
        tags = [weights for weights in get_model_weights(self.name) if "SWAG" not in weights.name]
        return _preprocessing(tags[0]) if tags else IMAGENET

    def as_published(self, checkpoint: Path, model: nn.Module, reporter: Reporter) -> Preprocessing:
        """Return the preprocessing of the published weights if `checkpoint` is their file, else the architecture's own.

        A published file is recognised by the SHA-256 prefix in its name. GoogLeNet's and Inception's published weights
        come from other authors, who trained on inputs in [-1, 1]: for these weights only, `transform_input` is switched
        on.
        """
        shifts = self.name in WITH_AUXILIARY_HEADS
        tag = _published(self.name, checkpoint)
        if tag is not None:
            if shifts:
                getattr(model, "backbone", model).transform_input = True
            reporter.note(f"{checkpoint} is torchvision's {tag.name} of {self.name}: images are prepared as for these")
            return _preprocessing(tag)
        if shifts:
            reporter.note(
                f"a file does not say whether {self.name} was trained with transform_input, which torchvision sets for "
                "its own published weights alone; it is off, and if it was on in training, --mean 0.5,0.5,0.5 --std "
                "0.5,0.5,0.5 is the same"
            )
        return self.preprocessing()

    def offer(self, tag: str) -> Pretrained:
        offered = get_model_weights(self.name)
        tags = [weights.name for weights in offered]
        if not tags:
            raise TgrError(
                f"torchvision has no pretrained weights for {self.name}; give --checkpoint FILE or --weights none"
            )
        if tag != "DEFAULT" and tag not in tags:
            raise TgrError(
                f'torchvision has no weights "{tag}" for {self.name}; it has {", ".join(tags)}, or take --weights none'
            )
        weights = offered.DEFAULT if tag == "DEFAULT" else offered[tag]
        if weights.meta["categories"] is None:  # VGG-16's feature weights for detectors: the last layers are NaN
            raise TgrError(
                f"torchvision's weights {weights.name} of {self.name} have no classifier; take --weights DEFAULT "
                f"({offered.DEFAULT.name})"
            )
        return Pretrained(
            tag=weights.name, num_classes=len(weights.meta["categories"]), preprocessing=_preprocessing(weights)
        )

    def fetch(self, offered: Pretrained) -> nn.Module:
        with fetching(f"torchvision's weights {offered.tag} of {self.name}"):
            return get_model(self.name, weights=offered.tag, progress=False)


def _published(name: str, checkpoint: Path) -> torchvision.models.WeightsEnum | None:
    """Return the published weights of `name` whose SHA-256 prefix matches the file, None if none does."""
    digest = sha256_file(checkpoint)
    for weights in get_model_weights(name):
        named = re.search(r"-([0-9a-f]{8,})\.pth$", weights.url)
        if named is not None and digest.startswith(named[1]):
            return weights
    return None


def _preprocessing(weights: torchvision.models.WeightsEnum) -> Preprocessing:
    presets = weights.transforms()
    return Preprocessing(
        resize=presets.resize_size[0],
        crop=presets.crop_size[0],
        mean=tuple(presets.mean),
        std=tuple(presets.std),
        interpolation=presets.interpolation.value,
    )
