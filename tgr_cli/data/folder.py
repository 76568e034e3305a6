"""Images in folders, one folder per class."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tgr_cli.data import folder_layout
from tgr_cli.data import labels as label_rule
from tgr_cli.data.images import ImageSet, Split, checked, decode, is_picture, tell_absent
from tgr_cli.errors import TgrError
from tgr_cli.naming import composed, is_number
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True)
class ImageFiles:
    """Index → the decoded image of that file."""

    paths: tuple[str, ...]

    def __call__(self, number: int) -> Image.Image:
        return decode(self.paths[number])


def classes(folder: Path) -> tuple[str, ...]:
    """Return the names of the class folders in Unicode NFC: sorted, numeric names by value.

    Raises TgrError where there is no class folder, or two have the same name.
    """
    return sorted_names([entry.name for entry in folder_layout.class_folders(folder)], str(folder), "folders")


def sorted_names(names: Iterable[str], where: str, what: str) -> tuple[str, ...]:
    """Return class names in Unicode NFC, sorted: by value if all are numbers, else as text.

    Raises TgrError where two names are the same text or number.
    """
    found = [composed(name) for name in names]
    seen: dict[str | int, str] = {}
    for name in found:
        one = int(name) if is_number(name) else name.strip()
        if one in seen:
            raise TgrError(f'{where} holds two {what} for one class, "{seen[one]}" and "{name}"; merge them')
        seen[one] = name
    return tuple(sorted(found, key=int if all(map(is_number, found)) else str))


def read(
    folder: Path,
    dataset: str,
    split: Split,
    names: tuple[str, ...],
    labels: Mapping[str, int],
    used: str,
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Return the images below `folder` as a split, class by class in sorted order; ids are paths relative to `folder`.

    `labels` gives each class folder's label. Files that are not readable images, and classes without images, are
    reported. Raises TgrError for a folder without a label, and where there is no image.
    """
    import numpy as np

    by_name = {composed(entry.name): entry for entry in folder_layout.class_folders(folder)}
    paths: list[str] = []
    of_class: list[int] = []
    left_out = Counter[str]()
    for name in classes(folder):
        if name not in labels:
            raise TgrError(f'{folder} holds the folder "{name}", which is no class of {dataset}; rename or remove it')
        for file in (file for files in folder_layout.walk(by_name[name]) for file in files):
            if is_picture(file.name) and file.is_file():
                paths.append(file.path)
                of_class.append(labels[name])
            else:
                suffix = os.path.splitext(file.name)[1].lower() or "without a suffix"
                left_out[suffix if file.is_file() else f"{suffix} (no regular file, or a broken link)"] += 1
    outside = sum(is_picture(entry.name) for entry in folder.iterdir() if not entry.is_dir())
    if left_out or outside:
        reporter.note(_left_out(used, len(paths), left_out, outside))
    if not paths and left_out:
        raise TgrError(
            f"{used} holds no image that can be opened, but {_kinds(left_out)}; convert them, to PNG for instance"
        )
    images = checked(
        ImageSet(
            dataset=dataset,
            split=split,
            classes=names,
            ids=tuple(composed(Path(path).relative_to(folder).as_posix()) for path in paths),
            labels=np.array(of_class, dtype=np.int64),
            used=used,
            read=ImageFiles(tuple(paths)),
        )
    )
    tell_absent(images, reporter)
    return images


def read_matched(
    folder: Path,
    dataset: str,
    split: Split,
    names: tuple[str, ...],
    callings: Sequence[Sequence[str]],
    used: str,
    reporter: Reporter = SILENT,
    *,
    tell_how: bool = False,
) -> ImageSet:
    """Return the images below `folder` as a split, its class folders matched to the classes (`labels.match`).

    With `tell_how`, `ImageSet.used` describes the matching.
    """
    found = classes(folder)
    matched = label_rule.match(found, callings, where=str(folder), dataset=dataset)
    if matched.note:
        reporter.note(matched.note)
    labels = dict(zip(found, matched.labels, strict=True))
    return read(folder, dataset, split, names, labels, f"{used} ({matched.how})" if tell_how else used, reporter)


def _left_out(used: str, read: int, left_out: Counter[str], outside: int) -> str:
    total = read + left_out.total() + outside
    told = f"{used}: {left_out.total() + outside:,} of {total:,} files are left out:"
    if left_out:
        told += f" {_kinds(left_out)}, which cannot be opened as pictures"
    if outside:
        told += f"{';' if left_out else ''} {outside:,} beside the class folders, without a class"
    return told


def _kinds(left_out: Counter[str]) -> str:
    return ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(left_out.items(), key=lambda item: -item[1]))
