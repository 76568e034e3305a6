"""Torchvision's classification models."""

from dataclasses import dataclass
from typing import final

import torchvision
from torch import nn
from torchvision.models import get_model, get_model_weights, list_models

from tgr_cli.data.transforms import Preprocessing
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.entry import IMAGENET, Entry, Pretrained
from tgr_cli.models.fetching import fetching

# Their auxiliary heads answer in training only, and give the loss a second and a third term.
WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


@final
@dataclass(frozen=True)
class Torchvision(Entry):
    """`torchvision.models.<name>`; auxiliary heads are left off."""

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
        # The first weights are those of the architecture's paper; SWAG ones take larger images than a fresh network.
        tags = [weights for weights in get_model_weights(self.name) if "SWAG" not in weights.name]
        return _preprocessing(tags[0]) if tags else IMAGENET

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
        return Pretrained(
            tag=weights.name, num_classes=len(weights.meta["categories"]), preprocessing=_preprocessing(weights)
        )

    def fetch(self, offered: Pretrained) -> nn.Module:
        with fetching(f"torchvision's weights {offered.tag} of {self.name}"):
            return get_model(self.name, weights=offered.tag, progress=False)


def _preprocessing(weights: torchvision.models.WeightsEnum) -> Preprocessing:
    presets = weights.transforms()
    return Preprocessing(
        resize=presets.resize_size[0],
        crop=presets.crop_size[0],
        mean=tuple(presets.mean),
        std=tuple(presets.std),
        interpolation=presets.interpolation.value,
    )
