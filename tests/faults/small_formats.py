"""Number formats of a few lines, for tests of what a network does with a format."""

from typing import ClassVar

import torch
from torch import Tensor

from tgr_cli.faults.formats import Format, Scale


class Steps(Format):
    """Integers from -128 to 127 in steps of max|x| / 127; one step for all values."""

    name, width, fields = "steps", 8, {"value": (0, 7)}
    shared, bounded = "tensor", True

    def fit(self, low: Tensor, high: Tensor) -> Scale:
        return Scale(torch.maximum(-low, high).clamp_min(1e-30) / 127)

    def encode(self, values: Tensor, scale: Scale | None = None) -> Tensor:
        assert scale is not None
        return (values / scale.step).round().clamp(-128, 127).to(torch.int8)

    def decode(self, words: Tensor, scale: Scale | None = None, *, dtype: torch.dtype) -> Tensor:
        assert scale is not None
        return words.to(dtype) * scale.step


class ChannelSteps(Steps):
    """The same with a step a channel."""

    name, shared = "channel-steps", "channel"


class BlockSteps(Steps):
    """The same with a step for four neighbours, chosen anew for each inference: a power of two."""

    name, shared, block = "block-steps", "block", 4
    dynamic: ClassVar[bool] = True

    def fit(self, low: Tensor, high: Tensor) -> Scale:
        return Scale(torch.exp2(torch.maximum(-low, high).clamp_min(1e-30).log2().floor() - 6))


class ImageSteps(Steps):
    """The same with a step for each image's share of an output, chosen anew for each inference."""

    name = "image-steps"
    dynamic: ClassVar[bool] = True
