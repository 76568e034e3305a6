"""Each small picture is resized once a session: commands read the same toys hundreds of times."""

import sys
from functools import wraps

from PIL import Image
from torch import Tensor

SMALL = 32  # pixels a side
_pixels: dict[object, Tensor] = {}


def once() -> None:
    """Keep what Transform.pixels makes of each small picture; its content and the settings alone decide on that."""
    transforms = sys.modules.get("tgr_cli.data.transforms")
    if transforms is None or hasattr(transforms.Transform.pixels, "__wrapped__"):
        return
    pixels = transforms.Transform.pixels

    @wraps(pixels)
    def remembering(self: object, image: Image.Image, word: int) -> Tensor:
        if not self.repeatable or max(image.size) > SMALL or image.mode not in ("L", "RGB"):  # type: ignore[attr-defined]
            return pixels(self, image, word)
        key = (self.pre, image.mode, image.size, image.tobytes())  # type: ignore[attr-defined]
        if key not in _pixels:
            _pixels[key] = pixels(self, image, word)
        return _pixels[key].clone()

    transforms.Transform.pixels = remembering
