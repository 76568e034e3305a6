"""A split's pictures: what every kind of data set becomes."""

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
    import numpy as np  # slow to load; the functions that need it import it
    import torch

Split = Literal["train", "eval"]

# Named, because opening any file Pillow knows would let a foreign one start Ghostscript (EPS) or read others (FITS, …).
# Formats without a signature (TGA, PCX) are not among them: a damaged file could pass for one.
FORMATS = ("PNG", "JPEG", "WEBP", "PPM", "BMP", "GIF", "TIFF", "JPEG2000", "AVIF", "QOI")
FLOATING = ".pfm"  # a PPM of floating point values: depth maps and the like, no pictures
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The pictures of one split in their stored order, decoded when they are asked for.

    `ids` are stable and unique, `labels` int64 [N] within `classes`, `used` says in a phrase what was read (no absolute
    path). `read` gives picture i. `kept` holds small pictures that `batches` has decoded, by their preprocessing.
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
        """Return picture `index` in mode L or RGB; raises TgrError, naming its id, where it cannot be decoded."""
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
        except Exception as error:  # Pillow's readers raise whatever a foreign file drives them to
            raise TgrError(
                f"image {self.ids[index]} of {self.used} cannot be decoded ({error}); mend or remove it"
            ) from error

    def take(self, positions: Sequence[int]) -> "ImageSet":
        """Return the pictures at these positions, in this order."""
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
        """Return `count` pictures at even steps through the split, or all where there are fewer.

        Many splits are stored class by class, so that the first ones would all be of one class.
        """
        count = min(count, len(self))
        return self.take([number * len(self) // count for number in range(count)])


def _read_at(read: Callable[[int], Image.Image], positions: "np.ndarray", index: int) -> Image.Image:
    return read(int(positions[index]))


def checked(images: ImageSet) -> ImageSet:
    """Return `images` where they are sound; raises TgrError for no picture, a label out of range, an id held twice."""
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
    """Tell of the classes that the split has no image of."""
    import numpy as np

    counts = np.bincount(images.labels, minlength=len(images.classes))
    have, absent = np.flatnonzero(counts), np.flatnonzero(counts == 0)
    if absent.size:
        fewer = f"none of {listed(images.classes[label] for label in absent)}"
        if len(have) < len(absent):
            fewer = f"{listed(images.classes[label] for label in have)}; they keep their labels among all"
        reporter.note(f"{images.used} has images of {len(have):,} of {len(images.classes):,} classes: {fewer}")


def out_of_range(image: str, used: str, wrong: "np.ndarray", classes: int) -> TgrError:
    """Return the error for labels that no class has, int64 [W], the first of them that of `image`."""
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
    """Return those of FORMATS that this build of Pillow reads."""
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


@cache
def suffixes() -> frozenset[str]:
    """Return the suffixes of the picture files that can be opened, in lower case: ".png", ".jpeg", ".tif" …"""
    kinds = readable()
    # An .mpo is a JPEG with further pictures behind the first.
    found = {suffix for suffix, kind in Image.registered_extensions().items() if kind in (*kinds, "MPO")}
    return frozenset(found - {FLOATING})


def is_picture(file: str) -> bool:
    """Return whether a file is a picture by the suffix of its name; hidden files, as ._1.png, are none."""
    return not file.startswith(".") and os.path.splitext(file)[1].lower() in suffixes()


def decode(source: BinaryIO | str) -> Image.Image:
    """Return the picture in an open file or at a path, the first of several, if it is in one of FORMATS.

    It is not turned by its EXIF orientation, as torchvision's readers do not turn it either.
    """
    with Image.open(source, formats=readable()) as image:
        return plain(image)


def plain(image: Image.Image) -> Image.Image:
    """Return a picture in mode L or RGB, loaded; transparency is dropped, more than 8 bits a channel refused."""
    if image.mode not in MODES:
        raise ValueError(f"its pixels are of mode {image.mode}, where 8 bits a channel are expected")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    image = image if image.mode in ("L", "RGB") else image.convert("L" if image.mode in ("1", "LA") else "RGB")
    image.load()
    return image
