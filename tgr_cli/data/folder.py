"""Pictures in folders, one folder a class."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tgr_cli.data.images import ImageSet, Split, checked, decode
from tgr_cli.errors import TgrError


@dataclass(frozen=True)
class ImageFiles:
    """Number → the picture of that file, decoded."""

    paths: tuple[str, ...]

    def __call__(self, number: int) -> Image.Image:
        return decode(self.paths[number])


def classes(folder: Path) -> tuple[str, ...]:
    """Return the names of the class folders, sorted; raises TgrError where there is none."""
    if not folder.is_dir():
        raise TgrError(f"{folder} is not a folder; name one that holds a folder of images for each class")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise TgrError(f"{folder} holds no folders; a folder of images for each class is expected")
    return tuple(names)


def read(
    folder: Path, dataset: str, split: Split, names: tuple[str, ...], labels: dict[str, int], used: str
) -> ImageSet:
    """Return the pictures below `folder` as a split, in sorted order; ids are the paths within `folder`.

    `labels` gives each class folder's label. Raises TgrError for a folder without one, and where there is no picture.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset  # slow to import, and not needed for names

    for found in classes(folder):
        if found not in labels:
            raise TgrError(f'{folder} holds the folder "{found}", which is no class of {dataset}; rename or remove it')
    samples = make_dataset(str(folder), class_to_idx=labels, extensions=IMG_EXTENSIONS, allow_empty=True)
    return checked(
        ImageSet(
            dataset=dataset,
            split=split,
            classes=names,
            ids=tuple(Path(path).relative_to(folder).as_posix() for path, _ in samples),
            labels=np.array([label for _, label in samples], dtype=np.int64),
            used=used,
            read=ImageFiles(tuple(path for path, _ in samples)),
        )
    )
