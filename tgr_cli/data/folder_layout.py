"""Locating splits and class folders in a folder of images, without opening an image."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tgr_cli.data import split_names
from tgr_cli.data.images import Split, is_picture
from tgr_cli.data.split_names import Word
from tgr_cli.errors import TgrError, found_at
from tgr_cli.naming import listed
from tgr_cli.paths import on_this_machine

# Folders that file managers and archivers create. Their copies and thumbnails are not part of the data set.
_JUNK = frozenset(("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"))
# Folders that often accompany a data set. Without images they are not classes.
_BESIDE = frozenset(("annotation", "annotations", "labels", "metadata", "meta", "doc", "docs", "csv", "xml", "json"))
_DEEPEST = 4  # nesting levels of wrapper folders, such as pets/pets/images/train


@dataclass(frozen=True)
class Layout:
    """The layout of a data set's folder: its split folders by split name, {} if it holds class folders itself.

    `base` is the folder itself, or the single folder inside it (`pets/pets`). `notes` report what was used and left
    out.
    """

    base: Path
    splits: dict[Path, Word]
    notes: tuple[str, ...] = ()

    def folders(self, split: Split) -> list[Path]:
        """Return the folders that may be this split; with several the user must choose."""
        return [folder for folder, word in self.splits.items() if word in split_names.WORDS[split]]


ONE_BY_ONE = "pictures in folders are read one by one (a Parquet file of them may lie there)"


class _Folder:
    """The visible entries of a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def folders(self) -> list[Path]:
        found = [Path(entry.path) for entry in _visible(self.path) if entry.is_dir()]
        return sorted(entry for entry in found if entry.name.casefold() not in _BESIDE or holds_pictures(entry))

    @cached_property
    def pictures(self) -> bool:
        """Whether the folder directly contains images."""
        return any(is_picture(entry.name) and not entry.is_dir() for entry in _visible(self.path))


def class_folders(folder: Path) -> list[Path]:
    """Return the class folders, sorted by name; hidden folders and those that accompany the data are left out.

    Raises TgrError where `folder` is not a folder, or has no class folder.
    """
    _demand_folder(folder)
    found = _Folder(folder).folders
    if not found:
        if _Folder(folder).pictures:
            raise TgrError(
                f"{folder} holds pictures but no folders; sort them into a folder for each class{_sorting(folder)}"
            )
        raise TgrError(f"{folder} holds no folders; a folder of images for each class is expected")
    return found


def of(path: Path) -> Layout:
    """Return the layout of a folder of images.

    A split folder holds class folders, a class folder holds images. Raises TgrError where `path` is not a folder, where
    the layout is ambiguous, and where split folders hold images without class folders.
    """
    _demand_folder(on_this_machine(path, ONE_BY_ONE))
    return _layout(path, _DEEPEST) or Layout(path, {})


def called(base: Path, word: Word) -> list[Path]:
    """Return the subfolders of `base` named after this split; none if `base` is not a folder."""
    if not base.is_dir():
        return []
    folders = [Path(entry.path) for entry in _visible(base) if entry.is_dir()]
    words = split_names.of_folders(folder.name for folder in folders)
    return sorted(folder for folder in folders if words.get(folder.name) == word)


def _layout(path: Path, depth: int) -> Layout | None:
    """Return the layout, None if the folder contains neither splits nor several class folders."""
    here = _Folder(path)
    words = split_names.of_folders(folder.name for folder in here.folders)
    named = {folder: words[folder.name] for folder in here.folders if folder.name in words}
    splits = {folder: word for folder, word in named.items() if _Folder(folder).folders}
    if not splits and named and all(not _Folder(folder).pictures for folder in here.folders):
        splits = named  # splits without images; opening one of them reports that
    if splits:
        return _with_splits(path, splits, [folder for folder in here.folders if folder not in splits])
    _refuse_flat_splits(path, named, len(here.folders))
    if len(here.folders) == 1 and not here.pictures and depth and not _Folder(here.folders[0]).pictures:
        inner = _layout(here.folders[0], depth - 1)
        if inner is None and here.folders[0].name == path.name and _Folder(here.folders[0]).folders:
            inner = Layout(here.folders[0], {})  # an archive unpacked into a folder of its own name
        if inner is not None:
            return Layout(inner.base, inner.splits, inner.notes or (f"{path} wraps {inner.base}, which is read",))
    notes = [f'{path}: "{folder.name}" is taken as a class, as it holds pictures itself' for folder in named]
    return Layout(path, {}, (*notes, *_alike_inside(path, here.folders))) if len(here.folders) > 1 else None


def _alike_inside(path: Path, folders: list[Path]) -> list[str]:
    """Return a note if all class folders have the same subfolders, as those may be the actual classes.

    Raises TgrError where the subfolders are splits, which would be merged into one.
    """
    below = [{inner.name for inner in _Folder(folder).folders} for folder in folders]
    if len(below[0]) < 2 or any(names != below[0] for names in below) or any(_Folder(f).pictures for f in folders):
        return []
    alike, first = listed(sorted(below[0])), folders[0].name
    if len(split_names.of_folders(below[0])) == len(below[0]):
        raise TgrError(
            f"{path} has the splits {alike} within each class folder; sort the pictures into "
            f"{min(below[0])}/{first} and so on"
        )
    return [
        f"{path}: {listed(folder.name for folder in folders)} are taken as the classes, and each holds the folders "
        f"{alike}; if those are the classes, name one of the folders above them, or call these train and val"
    ]


def _with_splits(path: Path, splits: dict[Path, Word], others: list[Path]) -> Layout:
    left_out = [folder for folder in others if holds_pictures(folder)]
    unlike = {"train" if word == "train" else "eval" for word in splits.values()}
    if len(unlike) == 1 and any(split_names.of_file(folder.name) is None for folder in left_out):
        one = next(iter(splits))
        raise TgrError(
            f'{path} holds "{one.name}", which reads as a split, beside {listed(folder.name for folder in left_out)}: '
            f'rename "{one.name}" if it is a class, or move the others away if it is a split'
        )
    notes = []
    if not {"train", "val", "test"}.issuperset(folder.name for folder in splits):
        notes.append(f"{path}: {', '.join(folder.name for folder in splits)} are taken as splits")
    if left_out:
        notes.append(f"{path}: {listed(folder.name for folder in left_out)} left out, as no split with class folders")
    inner = {}
    for folder, word in splits.items():
        inner[_unwrapped(folder)] = word
    return Layout(path, inner, tuple(notes))


def _unwrapped(folder: Path) -> Path:
    """Return a split's folder, or the folder below it that holds the class folders, such as test_set/test_set/cat."""
    if len(_Folder(folder).folders) > 1:
        return folder
    layout = _layout(folder, _DEEPEST)
    if layout is None:
        return folder
    return layout.base if not layout.splits else next(iter(layout.splits)) if len(layout.splits) == 1 else folder


def _refuse_flat_splits(path: Path, named: dict[Path, Word], folders: int) -> None:
    """Raise TgrError if split folders directly contain images: else "train" and "test" would become classes."""
    kinds = {"train" if word == "train" else "eval" for word in named.values()}
    if named and (len(kinds) == 2 or len(named) == folders):
        one = next(iter(named))
        raise TgrError(
            f"{path} holds {listed(folder.name for folder in named)} with pictures but no class folders in "
            f"{'them' if len(named) > 1 else 'it'}; sort the pictures into a folder for each class, "
            f"as {one.name}/cat/1.png{_sorting(one)}"
        )


def walk(folder: Path) -> Iterator[list[os.DirEntry[str]]]:
    """Yield the visible files, sorted, of `folder` and each folder below it, in path order.

    Symbolic links are followed; cycles are not.
    """
    found = []
    pending = [(str(folder), frozenset[str]())]
    while pending:
        path, above = pending.pop()
        real = os.path.realpath(path)
        if real in above:
            continue
        visible = _visible(path)
        found.append((path, sorted((e for e in visible if not e.is_dir()), key=lambda entry: entry.name)))
        pending += [(entry.path, above | {real}) for entry in visible if entry.is_dir()]
    yield from (files for _, files in sorted(found, key=lambda item: item[0]))


def holds_pictures(folder: Path) -> bool:
    """Return whether there is an image anywhere below `folder`."""
    return any(is_picture(file.name) for files in walk(folder) for file in files)


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if not e.name.startswith(".") and e.name.casefold() not in _JUNK]
    except OSError as error:
        raise TgrError(f"{folder} cannot be read ({error.strerror}); mend its permissions or leave it out") from error


def _demand_folder(path: Path) -> None:
    if not path.is_dir():
        raise TgrError(f"{path} {found_at(path)}; name a folder that holds train/ and val/, or a folder a class")


def _sorting(folder: Path) -> str:
    """Return how to sort ImageNet's validation images, which are distributed unsorted; "" for other images."""
    if any(entry.name.startswith("ILSVRC2012_val_") for entry in folder.iterdir()):
        return (
            ": torchvision.datasets.ImageNet(FOLDER, split='val') sorts ILSVRC2012_img_val.tar beside "
            "ILSVRC2012_devkit_t12.tar.gz so"
        )
    return ""
