"""Preprocessing and augmentation: per-image resizing and cropping, then batched augmentation and normalisation.

Suffixes: B images in a batch, C channels, H×W pixels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tv

from tgr_cli import seeding
from tgr_cli.data.preprocessing import AUGMENTATIONS, MODES, Preprocessing
from tgr_cli.data.preprocessing import PreprocessingOptions as PreprocessingOptions
from tgr_cli.errors import TgrError, one_of

RESIZED = ("imagenet", "trivial")  # policies that start with a random resized crop
LARGEST = 2**27  # limit on an image's pixels after resizing
PADDING = 4  # zero padding per side, in pixels, before a random crop, as He et al. (CVPR 2016) use on CIFAR


@dataclass(frozen=True)
class Transform:
    """An image transform. `pixels` is applied per image, `finish` per batch.

    All randomness comes from random 64-bit words per image, never from a shared generator: word 0 decides the flip,
    words 1 and 2 place the crop, word 3 seeds the random resized crop and the policies after it. Four more words seed
    random erasing, if it is on.
    """

    pre: Preprocessing
    augment: str = "none"
    random_erasing: float = 0.0

    def __call__(self, image: Image.Image, seed: int = 0) -> Tensor:
        """Return the network input for one image, float32 [C, H, W], augmented by `seed`."""
        words_1W = self.words(seed, 1)
        return self.finish(self.pixels(image, int(words_1W[0, 3]))[None], words_1W)[0]

    def words(self, seed: int, count: int) -> np.ndarray:
        """Return the random words of `count` images, uint64 [count, 4 or 8]; row i belongs to image i in this pass."""
        words_N4 = augmentation_words(seed, count)
        return np.hstack([words_N4, seeding.words(seed, "erasing", count=count)]) if self.random_erasing else words_N4

    @property
    def repeatable(self) -> bool:
        """Return whether `pixels` is deterministic per image, so that its result can be cached."""
        return self.augment not in RESIZED

    def pixels(self, image: Image.Image, word: int) -> Tensor:
        """Return the image converted, resized and cropped, uint8 [C, crop, crop]; `word` seeds a random crop.

        Raises TgrError for an image so narrow that resizing its shorter side would make it huge.
        """
        image = image.convert(MODES[self.pre.channels])
        mode = InterpolationMode(self.pre.interpolation)
        if self.augment in RESIZED:
            with _seeded(word):
                image = v2.RandomResizedCrop(self.pre.crop, interpolation=mode)(image)
                if self.augment == "trivial":
                    image = v2.TrivialAugmentWide(interpolation=mode)(image)
            return tv.pil_to_tensor(image)
        return tv.pil_to_tensor(self._cropped(image, mode))

    def _cropped(self, image: Image.Image, mode: InterpolationMode) -> Image.Image:
        """Return the image resized and cropped to the network's input, according to the crop mode."""
        resize, crop = self.pre.resize, self.pre.crop
        if resize is None:
            return tv.center_crop(image, [crop])
        if self.pre.crop_mode == "squash":
            return tv.center_crop(tv.resize(image, [resize, resize], interpolation=mode), [crop])
        width, height = image.size
        if self.pre.crop_mode == "border":
            sides = [max(1, round(side / (max(width, height) / resize))) for side in (height, width)]
            return self._bordered(tv.resize(image, sides, interpolation=mode))
        if min(width, height) != resize:
            if max(width, height) / min(width, height) * resize**2 > LARGEST:
                raise TgrError(f"{width}×{height} pixels are too narrow to resize to {resize}; crop the image first")
            image = tv.resize(image, [resize], interpolation=mode)
        return tv.center_crop(image, [crop])

    def _bordered(self, image: Image.Image) -> Image.Image:
        """Return the image padded with the mean colour where it is smaller than the crop, then cropped."""
        missing = [max(self.pre.crop - side, 0) for side in image.size]
        around = [missing[0] // 2, missing[1] // 2, (missing[0] + 1) // 2, (missing[1] + 1) // 2]
        fill = [float(round(255 * value)) for value in self.pre.mean]
        return tv.center_crop(tv.pad(image, around, fill=fill), [self.pre.crop])

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
        """Erase a rectangle of some images, in place, with the mean colour; places differ per image."""
        erase = v2.RandomErasing(p=1.0)
        chosen = np.flatnonzero(words_BW[:, 4] < np.float64(self.random_erasing) * 2.0**64)
        for row in chosen.tolist():
            with _seeded(int(words_BW[row, 5])):
                x_BCHW[row] = erase(x_BCHW[row])


@contextmanager
def _seeded(word: int) -> Iterator[None]:
    """Context manager that seeds torch's generator for torchvision's transforms and restores its state."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(word % 2**63)
        yield


def _random_crop(x_BCHW: Tensor, rows_B: np.ndarray, columns_B: np.ndarray) -> Tensor:
    """Return each image randomly shifted by up to PADDING pixels per axis, independently, filled with zeros.

    torchvision's RandomCrop takes one place for the whole batch; calling it per image is ten times slower.
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
    """Return the random words of `count` images, uint64 [count, 4]; row i belongs to image i in this seed's pass."""
    return seeding.words(seed, "augmentation", count=count)


def evaluation(pre: Preprocessing) -> Transform:
    """Return the transform without augmentation: resize, centre crop (zero-padded if smaller), normalise."""
    return Transform(pre)


def training(pre: Preprocessing, augment: str, random_erasing: float = 0.0) -> Transform:
    """Return the transform with augmentation.

    `none` is `evaluation`; `flip` mirrors horizontally with probability 1/2; `crop` also shifts by up to 4 pixels per
    axis, the CIFAR standard; `imagenet` takes a random resized crop and mirrors; `trivial` adds TrivialAugmentWide
    (Müller and Hutter, ICCV 2021). `random_erasing` is the probability of erasing a rectangle (Zhong et al., AAAI
    2020). Raises TgrError for any other policy.
    """
    one_of("--augment", augment, AUGMENTATIONS)
    return Transform(pre, augment, random_erasing)
