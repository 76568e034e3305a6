"""Inputs of a network in memory: tensors that need no preprocessing, with the interface of a split of images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tgr_cli.data.images import ImageSet
from tgr_cli.data.preprocessing import MODES, Preprocessing, PreprocessingOptions
from tgr_cli.errors import TgrError


@dataclass(frozen=True, eq=False)
class InputSet(ImageSet):
    """Inputs as a network takes them: `read` returns input i, floating point [C, H, W]."""

    read: Callable[[int], Tensor]  # type: ignore[assignment]

    def image(self, index: int) -> Image.Image:
        raise TgrError(f"{self.used} holds tensors, where pictures are needed; give a data set of pictures")

    def batches(self, size: int, order: Sequence[int] | np.ndarray | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs [B, C, H, W] and labels int64 [B] at the positions `order` (None: all)."""
        positions = np.arange(len(self)) if order is None else np.asarray(order, np.int64)
        for start in range(0, len(positions), size):
            at = positions[start : start + size]
            yield torch.stack([self.read(int(position)) for position in at]), torch.from_numpy(self.labels[at])


@dataclass(frozen=True, kw_only=True)
class AsGiven(PreprocessingOptions):
    """The preprocessing of inputs of this shape that a network takes as they are; raises TgrError for other shapes."""

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or self.shape[0] not in MODES or self.shape[1] != self.shape[2]:
            raise TgrError(
                f"the inputs have shape {tuple(self.shape)}, where (channels, height, width) with 1 or 3 channels and "
                "square images are expected"
            )

    def override(self, pre: Preprocessing) -> Preprocessing:
        channels, side = self.shape[:2]
        return Preprocessing(resize=None, crop=side, mean=(0.0,) * channels, std=(1.0,) * channels, channels=channels)
