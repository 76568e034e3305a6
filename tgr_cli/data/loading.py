"""Batches of a network's input: pictures decoded, transformed and stacked, small ones decoded once only."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tgr_cli import seeding
from tgr_cli.data.images import ImageSet
from tgr_cli.data.transforms import Transform, augmentation_words
from tgr_cli.errors import TgrError

KEPT_SIDE = 64  # pixels: up to this input size, pictures are kept once decoded …
KEPT_BYTES = 256 * 2**20  # … if all of the split's fit into this


def batches(
    images: ImageSet,
    transform: Transform,
    *,
    batch_size: int,
    workers: int = 0,
    order: Sequence[int] | None = None,
    seed: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Return batches of inputs float32 [B, C, H, W] and labels int64 [B], the last one smaller.

    `order` lists the pictures' positions (None: as stored). How picture i is augmented depends on `seed` and i alone,
    not on order, batch size, workers or any global generator. Inputs of up to 64×64 pixels are kept with `images` as
    they are decoded, up to 256 MiB a split, and then loaded in this process whatever `workers` is. Raises TgrError for
    a picture that cannot be decoded.
    """
    kept = _kept(images, transform)
    pictures = _Pictures(images, transform, augmentation_words(seed, len(images)), kept)
    positions = list(range(len(images))) if order is None else [int(position) for position in order]
    loader = DataLoader(
        pictures,
        batch_sampler=[positions[start : start + batch_size] for start in range(0, len(positions), batch_size)],
        num_workers=0 if kept else workers,
        collate_fn=_as_it_is,
        generator=seeding.torch_generator(seed, "loader"),
    )
    for batch in loader:
        if isinstance(batch, TgrError):
            raise batch
        positions_B, x_BCHW = batch
        words_B4 = pictures.words_N4[positions_B]
        yield transform.finish(x_BCHW, words_B4), torch.from_numpy(images.labels[positions_B])


def _kept(images: ImageSet, transform: Transform) -> tuple[Tensor, Tensor] | None:
    """Return the place for kept pictures, uint8 [N, C, H, W], and which are there, bool [N]; None where too large."""
    pre = transform.pre
    if not transform.repeatable or pre.crop > KEPT_SIDE or len(images) * pre.channels * pre.crop**2 > KEPT_BYTES:
        return None
    key = (pre.resize, pre.crop, pre.interpolation, pre.channels)
    if key not in images.kept:
        pixels = torch.empty((len(images), *pre.input_shape), dtype=torch.uint8)
        images.kept[key] = (pixels, torch.zeros(len(images), dtype=torch.bool))
    return images.kept[key]


class _Pictures(Dataset):
    """Lists of positions → those positions and their pixels, uint8 [B, C, H, W]."""

    def __init__(
        self, images: ImageSet, transform: Transform, words_N4: np.ndarray, kept: tuple[Tensor, Tensor] | None
    ) -> None:
        self.images, self.transform, self.words_N4, self.kept = images, transform, words_N4, kept

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, positions: list[int]) -> tuple[list[int], Tensor] | TgrError:
        try:
            if self.kept is None:
                return positions, torch.stack([self._pixels(position) for position in positions])
            pixels_NCHW, there_N = self.kept
            for position in positions:
                if not there_N[position]:
                    pixels_NCHW[position] = self._pixels(position)
                    there_N[position] = True
            return positions, pixels_NCHW[positions]
        except TgrError as error:
            return error  # a worker process would wrap a raised one in a traceback

    def _pixels(self, position: int) -> Tensor:
        image = self.images.image(position)
        try:
            return self.transform.pixels(image, int(self.words_N4[position, 3]))
        except TgrError as error:
            raise TgrError(f"image {self.images.ids[position]} of {self.images.used}: {error}") from error


def _as_it_is(batch: Any) -> Any:
    return batch
