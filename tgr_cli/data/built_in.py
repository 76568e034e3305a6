"""Named data sets: torchvision's readers, ImageNet as plain folders, and the digits."""

import socket
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tgr_cli.data import digits, folder, folder_layout
from tgr_cli.data.images import ImageSet, Split, checked
from tgr_cli.errors import TgrError
from tgr_cli.paths import real
from tgr_cli.reporting import SILENT, Reporter

if TYPE_CHECKING:
    pass  # slow to import; imported in the functions that need it

DOWNLOAD_TIMEOUT = 30  # seconds without an answer
# Folder of the local copy within the root: named as torchvision's users do, and as its Kaggle archive unpacks.
IMAGENET_FOLDERS = ("imagenet", "ImageNet", "ILSVRC2012", "imagenet-1k", "imagenet1k", "ILSVRC/Data/CLS-LOC")


@dataclass(frozen=True)
class Reader:
    """A torchvision reader: the folder that it expects in the root, and its constructor's arguments for a split."""

    folder: str
    read: Callable[[Path, Split, bool], Any]
    labels: Callable[[Any], Any] = lambda data: data.targets


def _torchvision(name: str) -> Callable[..., Any]:
    from torchvision import datasets  # slow to import, and not needed for names

    return getattr(datasets, name)


def _by_flag(reader: str) -> Callable[[Path, Split, bool], Any]:
    return lambda root, split, download: _torchvision(reader)(str(root), train=split == "train", download=download)


def _by_word(reader: str) -> Callable[[Path, Split, bool], Any]:
    return lambda root, split, download: _torchvision(reader)(
        str(root), split="train" if split == "train" else "test", download=download
    )


READERS = {
    "cifar10": Reader("cifar-10-batches-py", _by_flag("CIFAR10")),
    "cifar100": Reader("cifar-100-python", _by_flag("CIFAR100")),
    # Food101's and GTSRB's public API gives labels only together with decoded images.
    "food101": Reader("food-101", _by_word("Food101"), lambda data: data._labels),
    "stl10": Reader("stl10_binary", _by_word("STL10"), lambda data: data.labels),
    "mnist": Reader("MNIST/raw", _by_flag("MNIST")),
    "fashion_mnist": Reader("FashionMNIST/raw", _by_flag("FashionMNIST")),
    "gtsrb": Reader("gtsrb", _by_word("GTSRB"), lambda data: [label for _, label in data._samples]),
}
NAMES = ("imagenet", *READERS, "digits")


@cache
def class_names(name: str) -> tuple[str, ...]:
    """Return the class names of a named data set in label order, without reading images."""
    if name == "imagenet":
        return _imagenet_names()
    text = files("tgr_cli.data").joinpath("class_names.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)[name])


def _imagenet_names() -> tuple[str, ...]:
    """Return ImageNet's class names from open_clip's source file: importing the package takes seconds."""
    package = find_spec("open_clip")
    assert package is not None
    assert package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "zero_shot_metadata.py"
    spec = spec_from_file_location("open_clip_names", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return tuple(module.IMAGENET_CLASSNAMES)


def imagenet_wnids() -> tuple[str, ...]:
    """Return ImageNet's WordNet ids in label order (sorted), read from timm's data file without importing timm."""
    package = find_spec("timm")
    assert package is not None
    assert package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "data" / "_info" / "imagenet_synsets.txt"
    return tuple(file.read_text(encoding="utf-8").split())


def callings(name: str) -> tuple[tuple[str, ...], ...]:
    """Return all accepted names of each class: ImageNet's classes also go by their WordNet ids."""
    names = class_names(name)
    return tuple(zip(names, imagenet_wnids(), strict=True)) if name == "imagenet" else tuple((n,) for n in names)


def class_count(name: str) -> int:
    """Return the number of classes of a named data set."""
    return len(class_names(name))


def with_classes(count: int) -> str:
    """Return the command-line options for a data set of `count` classes, as a phrase; tgr's own data sets first."""
    fitting = [f"--dataset {name}" for name in NAMES if class_count(name) == count]
    return ", ".join([*fitting, "--dataset imagefolder:PATH or parquet:PATH for one of your own"])


def place(name: str, root: Path) -> Path | None:
    """Return the folder in which a named data set is expected, None for the embedded digits."""
    if name == "digits":
        return None
    if name == "imagenet":
        there = [root / folder for folder in IMAGENET_FOLDERS if (root / folder).is_dir()]
        return there[0] if there else root if folder_layout.called(root, "val") else root / IMAGENET_FOLDERS[0]
    return root / READERS[name].folder


def how_to_get(name: str) -> str:
    """Return how to obtain a named data set, as a phrase."""
    if name == "digits":
        return "embedded"
    if name == "imagenet":
        return "your own copy: train/ and val/, a folder a class"
    return "--download"


def read(
    name: str,
    split: Split,
    root: Path,
    *,
    download: bool,
    names: tuple[str, ...],
    callings: Sequence[Sequence[str]],
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Return a split of a named data set; raises TgrError where it is missing, damaged or cannot be downloaded.

    `names` are the class names, `callings` all accepted names of each class (for matching the user's own folders).
    """
    import numpy as np

    if name == "digits":
        return digits.read(split, names)
    if name == "imagenet":
        return _imagenet(split, root, download, names, callings, reporter)
    reader = READERS[name]
    looked_for = root / reader.folder
    if not download and not looked_for.is_dir():
        raise TgrError(
            f"{name} was looked for at {looked_for} and is not there; "
            "name its root with --data-root or TGR_DATA, or get it with --download"
        )
    try:
        # torchvision prints download progress to stdout, which is reserved for results.
        with _answering_within(DOWNLOAD_TIMEOUT), redirect_stdout(sys.stderr):
            data = reader.read(root, split, download)
        labels = np.asarray(reader.labels(data), dtype=np.int64)
        _stay_within(looked_for, data)
    except TgrError:
        raise
    except Exception as error:  # torchvision's readers raise any exception for network failures and damaged files
        if download:
            raise TgrError(
                f"{name} could not be downloaded to {root} ({_one_line(error)}); "
                "check the network and the free space, or put it there by hand"
            ) from error
        raise TgrError(
            f"{name} at {looked_for} is incomplete or damaged; remove what is there and get it again with --download"
        ) from error
    word = "train" if split == "train" else "test"
    return checked(
        ImageSet(
            dataset=name,
            split=split,
            classes=names,
            ids=tuple(f"{word}/{number:05}" for number in range(len(data))),
            labels=labels,
            used=f"the {word} split of {name}",
            read=FirstOfPair(data),
        )
    )


@dataclass(frozen=True)
class FirstOfPair:
    """Adapter: index → the image of torchvision's (image, label) pair."""

    data: Any

    def __call__(self, number: int) -> Image.Image:
        return self.data[number][0]


@contextmanager
def _answering_within(seconds: float) -> Iterator[None]:
    """Context manager with a socket timeout of `seconds`: torchvision sets none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _stay_within(place: Path, data: Any) -> None:
    """Raise TgrError where an index file of the data set (Food101, GTSRB) refers to an image outside its folder."""
    paths = getattr(data, "_image_files", None) or [path for path, _ in getattr(data, "_samples", ())]
    inside = real(place)
    for path in paths:
        if ".." in Path(path).parts and not real(Path(path)).is_relative_to(inside):
            raise TgrError(f"{place} lists the picture {path}, which lies outside of it; get the data set again")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def imagenet_split(split: Split, root: Path) -> list[Path]:
    """Return the folders that may hold this split of ImageNet, [] if none. Its test set has no labels."""
    base = place("imagenet", root)
    assert base is not None
    return folder_layout.called(base, "train" if split == "train" else "val")


def _imagenet(
    split: Split,
    root: Path,
    download: bool,
    names: tuple[str, ...],
    callings: Sequence[Sequence[str]],
    reporter: Reporter,
) -> ImageSet:
    base, word = place("imagenet", root), "train" if split == "train" else "val"
    assert base is not None
    found = imagenet_split(split, root)
    if not found:
        wish = "imagenet cannot be downloaded by a program and" if download else "imagenet"
        raise TgrError(
            f"{wish} was looked for at {base / word} and is not there; put a folder of images for each of its 1,000 "
            "classes (n01440764, …) there, or name its root with --data-root or TGR_DATA"
        )
    if len(found) > 1:
        raise TgrError(
            f"{base} holds {' and '.join(part.name for part in found)}, and either could be imagenet's {word} split; "
            f"choose with --{split}-data"
        )
    used = f"the {word} split of imagenet"
    return folder.read_matched(found[0], "imagenet", split, names, callings, used, reporter)
