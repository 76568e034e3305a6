"""One architecture of the zoo: how it is built, its preprocessing, and its pretrained weights."""

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
    """Pretrained weights offered by a library, described without downloading them."""

    tag: str
    num_classes: int
    preprocessing: Preprocessing


class Architecture(ABC):
    """One architecture of the zoo."""

    @abstractmethod
    def build(self, num_classes: int) -> nn.Module:
        """Return the network with `num_classes` outputs and random weights from torch's CPU generator."""

    @abstractmethod
    def preprocessing(self) -> Preprocessing:
        """Return the preprocessing to use if the weights do not define one."""

    @abstractmethod
    def offer(self, tag: str) -> Pretrained:
        """Return the weights offered under `tag` (DEFAULT: the library's choice); raises TgrError if there are none."""

    def as_published(self, checkpoint: Path, model: nn.Module, reporter: Reporter) -> Preprocessing:
        """Return the preprocessing for `model`, whose weights come from the file `checkpoint`.

        If the file is one published by the library, also apply the settings that the library uses with these weights.
        """
        return self.preprocessing()

    @abstractmethod
    def fetch(self, offered: Pretrained) -> nn.Module:
        """Return the network with the offered weights; raises TgrError if they are neither cached nor downloadable."""


class WithoutPretrained(Architecture):
    """An architecture without published weights."""

    def offer(self, tag: str) -> Pretrained:
        raise TgrError(
            f'no library has pretrained weights for this model (--weights {tag}); run "tgr train" first, '
            "or give --checkpoint FILE or --weights none"
        )

    def fetch(self, offered: Pretrained) -> nn.Module:
        raise AssertionError("offer always raises")


@final
@dataclass(frozen=True)
class BuiltIn(WithoutPretrained):
    """An architecture defined in this package."""

    make: Callable[[int], nn.Module]
    prepared: Preprocessing

    def build(self, num_classes: int) -> nn.Module:
        return self.make(num_classes)

    def preprocessing(self) -> Preprocessing:
        return self.prepared
