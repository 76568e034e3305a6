"""The data loader: images decoded, transformed and batched; a split that fits into memory is decoded only once."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tgr_cli import seeding
from tgr_cli.data.images import ImageSet
from tgr_cli.data.inputs import InputSet
from tgr_cli.data.transforms import Transform
from tgr_cli.errors import TgrError

KEPT_BYTES = 256 * 2**20  # inputs are cached after decoding if the whole split fits into this …
KEPT_SIDE = 64  # … and, where other processes could decode them, if their side is at most this many pixels


def batches(
    images: ImageSet,
    transform: Transform,
    *,
    batch_size: int,
    workers: int = 0,
    order: Sequence[int] | np.ndarray | None = None,
    seed: int = 0,
    pinned: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Return batches of inputs float32 [B, C, H, W] and labels int64 [B]; the last one may be smaller.

    `order` lists image positions (None: as stored); position i + k·N is the k-th copy of image i, with another
    augmentation. Augmentation depends on `seed` and that position only, not on order, batch size, workers or any global
    generator. Inputs are cached in `images`, up to 256 MiB per split: those of up to 64×64 pixels, which are then
    loaded in this process whatever `workers` is, and larger ones without `workers`. `pinned` memory is copied to CUDA
    asynchronously. An `InputSet` gives its inputs as they are. Raises TgrError for an image that cannot be decoded.
    """
    if isinstance(images, InputSet):
        yield from images.batches(batch_size, order)
        return
    kept = _kept(images, transform, workers)
    positions = np.arange(len(images)) if order is None else np.asarray(order, np.int64)
    copies = 1 + (int(positions.max()) // len(images) if len(positions) else 0)
    pictures = _Pictures(images, transform, transform.words(seed, copies * len(images)), kept)
    loader = DataLoader(
        pictures,
        batch_sampler=[
            positions[start : start + batch_size].tolist() for start in range(0, len(positions), batch_size)
        ],
        num_workers=0 if kept else workers,
        collate_fn=_as_it_is,
        generator=seeding.torch_generator(seed, "loader"),
        pin_memory=pinned,
    )
    for batch in loader:
        if isinstance(batch, TgrError):
            raise batch
        yield batch


def _kept(images: ImageSet, transform: Transform, workers: int) -> tuple[Tensor, Tensor] | None:
    """Return the image cache, uint8 [N, C, H, W], and its filled entries, bool [N]; None if there should be none."""
    pre = transform.pre
    too_large = len(images) * pre.channels * pre.crop**2 > KEPT_BYTES
    if not transform.repeatable or too_large or (workers and pre.crop > KEPT_SIDE):
        return None
    key = (pre.resize, pre.crop, pre.interpolation, pre.channels, pre.crop_mode, pre.mean)
    if key not in images.kept:
        pixels = torch.empty((len(images), *pre.input_shape), dtype=torch.uint8)
        images.kept[key] = (pixels, torch.zeros(len(images), dtype=torch.bool))
    return images.kept[key]


class _Pictures(Dataset):
    """Map-style dataset over lists of positions: inputs, float32 [B, C, H, W], and labels, int64 [B]."""

    def __init__(
        self, images: ImageSet, transform: Transform, words_NW: np.ndarray, kept: tuple[Tensor, Tensor] | None
    ) -> None:
        self.images, self.transform, self.words_NW, self.kept = images, transform, words_NW, kept

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, positions: list[int]) -> tuple[Tensor, Tensor] | TgrError:
        rows = [position % len(self.images) for position in positions]
        try:
            pixels_BCHW = self._pixels(positions, rows)
        except TgrError as error:
            return error  # a worker process would wrap a raised exception in a traceback
        x_BCHW = self.transform.finish(pixels_BCHW, self.words_NW[positions])
        return x_BCHW, torch.from_numpy(self.images.labels[rows])

    def _pixels(self, positions: list[int], rows: list[int]) -> Tensor:
        if self.kept is None:
            return torch.stack([self._picture(*both) for both in zip(positions, rows, strict=True)])
        pixels_NCHW, there_N = self.kept
        for row in rows:
            if not there_N[row]:
                pixels_NCHW[row] = self._picture(row, row)
                there_N[row] = True
        return pixels_NCHW[rows]

    def _picture(self, position: int, row: int) -> Tensor:
        image = self.images.image(row)
        try:
            return self.transform.pixels(image, int(self.words_NW[position, 3]))
        except TgrError as error:
            raise TgrError(f"image {self.images.ids[row]} of {self.images.used}: {error}") from error


def _as_it_is(batch: Any) -> Any:
    return batch
