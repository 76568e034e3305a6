"""Folders of small images, opened as a data set, with what was noted."""

from pathlib import Path

from PIL import Image

from tgr_cli.data.datasets import DataSource, ImageSet, open_split
from tgr_cli.data.images import Split
from tgr_cli.reporting import Reporter


class Heard(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def write(folder: Path, *files: str) -> Path:
    """Write a small image at each of these paths; a path that ends in / is an empty folder."""
    for file in files:
        path = folder / file
        (path if file.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not file.endswith("/"):
            Image.new("RGB", (3, 2)).save(path, "PNG")
    return folder


def opened(folder: Path, split: Split = "eval", **options: Path) -> tuple[ImageSet, list[str]]:
    heard = Heard()
    return open_split(DataSource(dataset=f"imagefolder:{folder}", **options), split, heard), heard.notes


def labelled(images: ImageSet) -> dict[str, int]:
    return dict(zip(images.ids, images.labels.tolist(), strict=True))
