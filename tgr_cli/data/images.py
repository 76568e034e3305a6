"""The images of a split: the common form of every kind of data set."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, BinaryIO, Literal

from PIL import Image, UnidentifiedImageError

from tgr_cli.errors import TgrError
from tgr_cli.naming import listed
from tgr_cli.reporting import Reporter

if TYPE_CHECKING:
    import numpy as np  # slow to import; imported in the functions that need it
    import torch

Split = Literal["train", "eval"]

# An explicit list: with all of Pillow's formats a foreign file could start Ghostscript (EPS) or read other files (FITS,
# …). Formats without a signature (TGA, PCX) are left out: a damaged file could pass for one.
FORMATS = ("PNG", "JPEG", "WEBP", "PPM", "BMP", "GIF", "TIFF", "JPEG2000", "AVIF", "QOI")
FLOATING = ".pfm"  # a PPM of floating-point values, such as depth maps: not an image to classify
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of one split in stored order, decoded lazily.

    `ids` are stable and unique, `labels` int64 [N] within `classes`, `used` describes the source in a phrase (no
    absolute path). `read` returns image i. `kept` caches images that `batches` has decoded, keyed by their
    preprocessing.
    """

    dataset: str
    split: Split
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    labels: "np.ndarray"
    used: str
    read: Callable[[int], Image.Image] = field(repr=False)
    kept: dict[object, "tuple[torch.Tensor, torch.Tensor]"] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Image.Image:
        """Return image `index` in mode L or RGB; raises TgrError, naming its id, where it cannot be decoded."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                return plain(self.read(index))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise TgrError(
                f"image {self.ids[index]} of {self.used} has over {Image.MAX_IMAGE_PIXELS:,} pixels; shrink it first"
            ) from error
        except UnidentifiedImageError as error:
            raise TgrError(
                f"image {self.ids[index]} of {self.used} is none of {', '.join(readable())}; mend or remove it"
            ) from error
        except Exception as error:  # Pillow's readers raise any exception for a damaged file
            raise TgrError(
                f"image {self.ids[index]} of {self.used} cannot be decoded ({error}); mend or remove it"
            ) from error

    def take(self, positions: Sequence[int]) -> "ImageSet":
        """Return the images at these positions, in this order."""
        import numpy as np

        kept_N = np.asarray(positions, np.int64)
        return replace(
            self,
            ids=tuple(self.ids[position] for position in kept_N),
            labels=self.labels[kept_N],
            read=partial(_read_at, self.read, kept_N),
            kept={},
        )

    def sample(self, count: int) -> "ImageSet":
        """Return `count` images at even steps through the split, or all if there are fewer.

        Even steps rather than the first ones, as many splits are sorted by class.
        """
        count = min(count, len(self))
        return self.take([number * len(self) // count for number in range(count)])


def _read_at(read: Callable[[int], Image.Image], positions: "np.ndarray", index: int) -> Image.Image:
    return read(int(positions[index]))


def checked(images: ImageSet) -> ImageSet:
    """Return `images` if valid; raises TgrError for an empty split, a label out of range, or a duplicate id."""
    import numpy as np

    if not images.ids:
        raise TgrError(f"{images.used} holds no image; give a data set with at least one")
    assert len(images.ids) == len(images.labels)
    assert images.labels.dtype == np.int64
    wrong = np.flatnonzero((images.labels < 0) | (images.labels >= len(images.classes)))
    if wrong.size:
        raise out_of_range(images.ids[int(wrong[0])], images.used, images.labels[wrong], len(images.classes))
    if len(set(images.ids)) < len(images.ids):
        raise TgrError(
            f"{images.used} holds the image id {_first_twice(images.ids)} twice; give every image its own path"
        )
    try:
        "".join((*images.ids, *images.classes)).encode()
    except UnicodeEncodeError as error:
        raise TgrError(f"{images.used} has a name that is not valid UTF-8; rename its files and folders") from error
    return images


def tell_absent(images: ImageSet, reporter: Reporter) -> None:
    """Report the classes without images in the split."""
    import numpy as np

    counts = np.bincount(images.labels, minlength=len(images.classes))
    have, absent = np.flatnonzero(counts), np.flatnonzero(counts == 0)
    if absent.size:
        fewer = f"none of {listed(images.classes[label] for label in absent)}"
        if len(have) < len(absent):
            fewer = f"{listed(images.classes[label] for label in have)}; they keep their labels among all"
        reporter.note(f"{images.used} has images of {len(have):,} of {len(images.classes):,} classes: {fewer}")


def out_of_range(image: str, used: str, wrong: "np.ndarray", classes: int) -> TgrError:
    """Return the error for labels out of range, int64 [W]; the first of them belongs to `image`."""
    kept_back = "; -1 stands for no label, as in test splits whose labels are kept back" if (wrong == -1).all() else ""
    return TgrError(
        f"image {image} of {used} has label {wrong[0]}, where 0 to {classes - 1} are expected; "
        f"check the labels or the class names{kept_back}"
    )


def _first_twice(ids: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]


@cache
def readable() -> tuple[str, ...]:
    """Return the FORMATS that the installed Pillow can read."""
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


@cache
def suffixes() -> frozenset[str]:
    """Return the file suffixes of readable image formats, in lower case: ".png", ".jpeg", ".tif" …"""
    kinds = readable()
    # An .mpo is a JPEG followed by further images.
    found = {suffix for suffix, kind in Image.registered_extensions().items() if kind in (*kinds, "MPO")}
    return frozenset(found - {FLOATING})


def is_picture(file: str) -> bool:
    """Return whether a file name has the suffix of an image format; hidden files such as ._1.png do not count."""
    return not file.startswith(".") and os.path.splitext(file)[1].lower() in suffixes()


def decode(source: BinaryIO | str) -> Image.Image:
    """Return the image in an open file or at a path (the first of several) if its format is in FORMATS.

    The EXIF orientation is ignored, as in torchvision's readers.
    """
    with Image.open(source, formats=readable()) as image:
        return plain(image)


def plain(image: Image.Image) -> Image.Image:
    """Return an image in mode L or RGB, loaded; transparency is dropped, more than 8 bits per channel refused."""
    if image.mode not in MODES:
        raise ValueError(f"its pixels are of mode {image.mode}, where 8 bits a channel are expected")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    image = image if image.mode in ("L", "RGB") else image.convert("L" if image.mode in ("1", "LA") else "RGB")
    image.load()
    return image
