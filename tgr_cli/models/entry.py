"""What the zoo knows of one architecture: how to build it, what images it takes, which pretrained weights exist."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from torch import nn

from tgr_cli.data.transforms import Preprocessing
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = Preprocessing(resize=256, crop=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Weights that a library offers for an architecture, known before anything is fetched."""

    tag: str
    num_classes: int
    preprocessing: Preprocessing


class Entry(ABC):
    """One architecture."""

    @abstractmethod
    def build(self, num_classes: int) -> nn.Module:
        """Return the network with `num_classes` outputs and random weights from torch's CPU generator."""

    @abstractmethod
    def preprocessing(self) -> Preprocessing:
        """Return how images are prepared for it where its weights do not say."""

    @abstractmethod
    def offer(self, tag: str) -> Pretrained:
        """Return what the library offers under `tag` (DEFAULT: its own choice); raises TgrError where it has none."""

    def as_published(self, checkpoint: Path, model: nn.Module, reporter: Reporter) -> Preprocessing:
        """Return how images are prepared for `model`, which has the weights of the file `checkpoint`.

        Where the file is one that the library publishes, the model is brought to what the library makes of it.
        """
        return self.preprocessing()

    @abstractmethod
    def fetch(self, offered: Pretrained) -> nn.Module:
        """Return the network with those weights; raises TgrError where they cannot be had."""


class WithoutPretrained(Entry):
    """An architecture for which no library offers weights."""

    def offer(self, tag: str) -> Pretrained:
        raise TgrError(
            f'no library has pretrained weights for this model (--weights {tag}); run "tgr train" first, '
            "or give --checkpoint FILE or --weights none"
        )

    def fetch(self, offered: Pretrained) -> nn.Module:
        raise AssertionError("offer always raises")


@final
@dataclass(frozen=True)
class Own(WithoutPretrained):
    """An architecture of this package."""

    make: Callable[[int], nn.Module]
    prepared: Preprocessing

    def build(self, num_classes: int) -> nn.Module:
        return self.make(num_classes)

    def preprocessing(self) -> Preprocessing:
        return self.prepared
