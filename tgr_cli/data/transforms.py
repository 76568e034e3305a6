"""From a picture to a network's input: a fixed part for each picture, then augmentation and scaling a batch at a time.

Shapes: B images in a batch, C channels, H×W pixels.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from operator import index
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tv

from tgr_cli import seeding
from tgr_cli.errors import TgrError, did_you_mean

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
AUGMENTATIONS = ("none", "flip", "crop", "imagenet", "trivial")
RESIZED = ("imagenet", "trivial")  # those that begin with a random resized crop
MODES = {1: "L", 3: "RGB"}
LARGEST = 2**27  # pixels after resizing
PADDING = 4  # pixels on each side before a random crop, as He et al. (CVPR 2016) train on CIFAR


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a picture becomes a network's input; part of the model card.

    `resize` is the shorter side in pixels before the crop (None: as it is), `crop` the side of the input in pixels,
    `mean` and `std` are per channel on the scale [0, 1].
    """

    resize: int | None
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"
    channels: int = 3

    def __post_init__(self) -> None:
        if self.channels not in MODES:
            raise TgrError(f"images with {self.channels} channels are not supported; use 1 (grey) or 3 (RGB)")
        if self.crop < 1 or (self.resize is not None and self.resize < self.crop):
            raise TgrError(
                f"a crop of {self.crop} pixels does not fit into images resized to {self.resize}; "
                "give --resize and --crop so that 1 ≤ crop ≤ resize"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise TgrError(f"--{name} has {len(values)} values for {self.channels} channels; give one a channel")
            if not all(math.isfinite(value) and (value > 0 or name == "mean") for value in values):
                raise TgrError(
                    f"--{name} is {_text(values)}, which cannot normalise; give finite numbers, --std above 0"
                )
        if self.interpolation not in INTERPOLATIONS:
            raise TgrError(
                f'interpolation "{self.interpolation}" is unknown; use {", ".join(INTERPOLATIONS)}.'
                + did_you_mean(self.interpolation, INTERPOLATIONS)
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return the shape of one input, (channels, height, width)."""
        return self.channels, self.crop, self.crop

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON can hold them."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, values: Any) -> "Preprocessing":
        """Return what `to_json` wrote; raises TgrError where a field is missing, unknown or of another type."""
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or set(values) != names:
            raise TgrError(f"the preprocessing is {values!r}, where {', '.join(sorted(names))} are expected")
        try:
            return cls(
                resize=None if values["resize"] is None else index(values["resize"]),
                crop=index(values["crop"]),
                mean=tuple(float(value) for value in values["mean"]),
                std=tuple(float(value) for value in values["std"]),
                interpolation=str(values["interpolation"]),
                channels=index(values["channels"]),
            )
        except (TypeError, ValueError) as error:
            raise TgrError(f"the preprocessing is {dict(values)!r}, whose values are of another type") from error


@dataclass(frozen=True, kw_only=True)
class PreprocessingOptions:
    """What the user gives to replace parts of a model's preprocessing; None keeps the model's."""

    resize: int | None = None
    crop: int | None = None
    mean: str | None = None
    std: str | None = None
    interpolation: str | None = None

    def override(self, pre: Preprocessing) -> Preprocessing:
        """Return `pre` with the given parts replaced; raises TgrError for values that do not fit together."""
        return Preprocessing(
            resize=pre.resize if self.resize is None else self.resize,
            crop=pre.crop if self.crop is None else self.crop,
            mean=pre.mean if self.mean is None else _numbers("mean", self.mean),
            std=pre.std if self.std is None else _numbers("std", self.std),
            interpolation=pre.interpolation if self.interpolation is None else self.interpolation,
            channels=pre.channels,
        )


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise TgrError(f'--{name} is "{text}", not numbers; write them as 0.485,0.456,0.406') from error


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


@dataclass(frozen=True)
class Transform:
    """A picture's way to the network. `pixels` does a picture's own part, `finish` a whole batch's.

    Every random choice is made from random 64-bit words of the picture's own, never from a generator that goes on: word
    0 flips, words 1 and 2 place the crop, word 3 seeds the random resized crop and what follows it. Four more seed the
    random erasing, where there is any.
    """

    pre: Preprocessing
    augment: str = "none"
    random_erasing: float = 0.0

    def __call__(self, image: Image.Image, seed: int = 0) -> Tensor:
        """Return the input made of one picture, float32 [C, H, W], augmented as `seed` says."""
        words_1W = self.words(seed, 1)
        return self.finish(self.pixels(image, int(words_1W[0, 3]))[None], words_1W)[0]

    def words(self, seed: int, count: int) -> np.ndarray:
        """Return the random words of `count` pictures, uint64 [count, 4 or 8]: row i is of picture i in this pass."""
        words_N4 = augmentation_words(seed, count)
        return np.hstack([words_N4, seeding.words(seed, "erasing", count=count)]) if self.random_erasing else words_N4

    @property
    def repeatable(self) -> bool:
        """Return whether `pixels` gives the same for a picture each time, so that it may be kept."""
        return self.augment not in RESIZED

    def pixels(self, image: Image.Image, word: int) -> Tensor:
        """Return the picture converted, resized and cropped, uint8 [C, crop, crop]; `word` seeds a random crop.

        Raises TgrError for a picture so narrow that resizing its shorter side makes it huge.
        """
        image = image.convert(MODES[self.pre.channels])
        mode = InterpolationMode(self.pre.interpolation)
        if self.augment in RESIZED:
            with _seeded(word):
                image = v2.RandomResizedCrop(self.pre.crop, interpolation=mode)(image)
                if self.augment == "trivial":
                    image = v2.TrivialAugmentWide(interpolation=mode)(image)
            return tv.pil_to_tensor(image)
        if self.pre.resize is not None and min(image.size) != self.pre.resize:
            width, height = image.size
            if max(image.size) / min(image.size) * self.pre.resize**2 > LARGEST:
                raise TgrError(
                    f"{width}×{height} pixels are too narrow to resize to {self.pre.resize}; crop the image first"
                )
            image = tv.resize(image, [self.pre.resize], interpolation=mode)
        return tv.pil_to_tensor(tv.center_crop(image, [self.pre.crop]))

    def finish(self, x_BCHW: Tensor, words_BW: np.ndarray) -> Tensor:
        """Return the batch augmented and normalised, float32 [B, C, H, W], from uint8 pixels and uint64 words."""
        if self.augment == "crop":
            x_BCHW = _random_crop(x_BCHW, words_BW[:, 1], words_BW[:, 2])
        if self.augment != "none":
            flip_B111 = torch.from_numpy(words_BW[:, 0] >> np.uint64(63) == 1)[:, None, None, None]
            x_BCHW = torch.where(flip_B111, x_BCHW.flip(-1), x_BCHW)
        x_BCHW = tv.normalize(tv.to_dtype(x_BCHW, torch.float32, scale=True), list(self.pre.mean), list(self.pre.std))
        if self.random_erasing:
            self._erase(x_BCHW, words_BW)
        return x_BCHW

    def _erase(self, x_BCHW: Tensor, words_BW: np.ndarray) -> None:
        """Set a rectangle of some pictures to the mean colour, in place; of a batch, torchvision erases one place."""
        erase = v2.RandomErasing(p=1.0)
        chosen = np.flatnonzero(words_BW[:, 4] < np.float64(self.random_erasing) * 2.0**64)
        for row in chosen.tolist():
            with _seeded(int(words_BW[row, 5])):
                x_BCHW[row] = erase(x_BCHW[row])


@contextmanager
def _seeded(word: int) -> Iterator[None]:
    """Seed the generator that torchvision's transforms draw from, and put it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(word % 2**63)
        yield


def _random_crop(x_BCHW: Tensor, rows_B: np.ndarray, columns_B: np.ndarray) -> Tensor:
    """Return each picture shifted by up to PADDING pixels either way, zeros coming in: its own random crop.

    torchvision's RandomCrop cuts a whole batch at one place, and one picture at a time is ten times slower.
    """
    batch, channels, height, width = x_BCHW.shape
    padded = functional.pad(x_BCHW, (PADDING,) * 4)
    top_B = torch.from_numpy(seeding.below(rows_B, 2 * PADDING + 1))
    left_B = torch.from_numpy(seeding.below(columns_B, 2 * PADDING + 1))
    y_BH = top_B[:, None] + torch.arange(height)
    x_BW = left_B[:, None] + torch.arange(width)
    return padded[
        torch.arange(batch)[:, None, None, None],
        torch.arange(channels)[:, None, None],
        y_BH[:, None, :, None],
        x_BW[:, None, None, :],
    ]


def augmentation_words(seed: int, count: int) -> np.ndarray:
    """Return the random words of `count` pictures, uint64 [count, 4]: row i is picture i's in a pass of this seed."""
    return seeding.words(seed, "augmentation", count=count)


def evaluation(pre: Preprocessing) -> Transform:
    """Return the transform without augmentation: resize, centre crop (zeros around what is smaller), normalise."""
    return Transform(pre)


def training(pre: Preprocessing, augment: str, random_erasing: float = 0.0) -> Transform:
    """Return the transform with augmentation.

    `none` is `evaluation`; `flip` mirrors every second picture; `crop` also shifts by up to 4 pixels either way, the
    CIFAR standard; `imagenet` takes a random resized crop and mirrors; `trivial` adds TrivialAugmentWide (Müller and
    Hutter, ICCV 2021). `random_erasing` is the probability that a rectangle is erased (Zhong et al., AAAI 2020). Raises
    TgrError for another word.
    """
    if augment not in AUGMENTATIONS:
        raise TgrError(
            f'augmentation "{augment}" is unknown; use {", ".join(AUGMENTATIONS)}.'
            + did_you_mean(augment, AUGMENTATIONS)
        )
    return Transform(pre, augment, random_erasing)
