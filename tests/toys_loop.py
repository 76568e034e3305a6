"""Training loops over the toy data set, and what interrupts them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from toys import toy_net

from tgr_cli.data.datasets import ImageSet
from tgr_cli.data.transforms import Preprocessing, training
from tgr_cli.reporting import Reporter
from tgr_cli.training.distributed import Group
from tgr_cli.training.loop import Loop, Validation
from tgr_cli.training.recipe import Recipe

PRE = Preprocessing(resize=None, crop=8, mean=(0.5,), std=(0.25,), channels=1)


def fixed(_: nn.Module) -> Validation:
    return Validation(loss=1.0, top1=0.5, top5=1.0)


def loop(images: ImageSet, recipe: Recipe, validate: Callable = fixed, **options: Any) -> Loop:
    return Loop(
        images=images,
        rows=np.arange(len(images)),
        transform=training(PRE, recipe.augment, recipe.random_erasing),
        validate=validate,
        recipe=recipe,
        seed=7,
        workers=0,
        group=Group(0, 1, torch.device("cpu")),
        **options,
    )


def recipe(**values: Any) -> Recipe:
    return Recipe(**{"epochs": 4, "batch_size": 16, "label_smoothing": 0.1, "augment": "crop", **values})


def network() -> nn.Module:
    """The toy with stateful and random layers: batch norm and dropout."""
    toy = toy_net(3)
    toy.relu = nn.Dropout(0.2)
    toy.conv2 = nn.Sequential(toy.conv2, nn.BatchNorm2d(6))
    return toy


def equal(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0].keys() | states[1].keys())


class Stopping(Reporter):
    """Interrupts the training after a number of steps; collects notes."""

    def __init__(self, steps: int) -> None:
        self.left, self.notes = steps, list[str]()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, what: str, done: int, total: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
