"""Mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019), with torchvision's implementation."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

from tgr_cli.training.recipe import Recipe

Mixing = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def mixing(recipe: Recipe, num_classes: int) -> Mixing | None:
    """Return the transform of x_BCHW and labels_B to mixed images and soft labels, float [B, C]; None if both are off.

    If the recipe has both, one of them is drawn per batch. Uses torch's global generator.
    """
    ways: list[Mixing] = [
        *([v2.MixUp(alpha=recipe.mixup, num_classes=num_classes)] if recipe.mixup else []),
        *([v2.CutMix(alpha=recipe.cutmix, num_classes=num_classes)] if recipe.cutmix else []),
    ]
    if not ways:
        return None
    return lambda x_BCHW, labels_B: ways[int(torch.randint(len(ways), ()))](x_BCHW, labels_B)
