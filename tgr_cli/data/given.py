"""Data sets in memory, as a notebook holds them: torch data sets, data loaders, or tensors and their labels.

Items are pictures (PIL), which are prepared as files are, or tensors, which a network takes as they are.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from tgr_cli.data.images import ImageSet, Split, checked
from tgr_cli.data.inputs import InputSet
from tgr_cli.errors import TgrError

KEPT_BYTES = 2**30  # the tensors of a split are kept up to this size, and read again beyond it
READ_TWICE = 8  # items that are read a second time, to find a data set whose items change
IMAGES, LABELS = ("image", "img", "pixel_values", "x"), ("label", "labels", "target", "y")  # keys of items


def split_of(
    data: Any, split: Split, name: str, *, count: int | None = None, classes: Sequence[str] | None = None
) -> ImageSet:
    """Return `count` items at even steps through a data set in memory (None: all), with their labels.

    `data` is a map-style data set, a DataLoader of one, or (x, y): inputs [N, C, H, W] and labels [N]. An item is known
    by its position and a digest of its values. Classes are called as in `classes`, as the data set does, or by number.
    Raises TgrError where items are no pair of a picture or tensor and a label, or change when they are read again.
    """
    items = _Items(_indexed(data, name), name)
    if not len(items):
        raise TgrError(f"{name} holds no image; give a data set with at least one")
    count = len(items) if count is None else min(count, len(items))
    items = _Items(items.data, name, [number * len(items) // count for number in range(count)])
    ids, labels = [], []
    for index, position in enumerate(items.positions):
        value, label = items.read(index)
        ids.append(f"{position}-{_digest(value)}")
        labels.append(label)
    for index in range(min(READ_TWICE, count)):
        if _digest(items.again(index)) != ids[index].partition("-")[2]:
            raise TgrError(
                f"item {items.positions[index]} of {name} is another one each time it is read; take random "
                "augmentation out of its transform, as for an evaluation"
            )
    named = classes or getattr(items.data, "classes", None) or range(max(labels) + 1)
    kind = InputSet if isinstance(items.read(0)[0], Tensor) else ImageSet
    known = tuple(map(str, named)), tuple(ids), np.array(labels, np.int64)
    return checked(kind(name, split, *known, used=name, read=lambda index: items.read(index)[0]))


def _indexed(data: Any, name: str) -> Any:
    """Return a data set with a length and items by number."""
    if isinstance(data, DataLoader):
        data = data.dataset
    if isinstance(data, tuple | list) and len(data) == 2 and all(hasattr(part, "shape") for part in data):
        x, y = (torch.as_tensor(part) for part in data)
        if len(x) != len(y):
            raise TgrError(f"{name} has {len(x):,} inputs and {len(y):,} labels; give as many of both")
        data = TensorDataset(x, y)
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise TgrError(
            f"{name} is a {type(data).__name__}, where a data set with a length and items by number, a DataLoader of "
            "one, or (inputs, labels) is expected"
        )
    return data


@dataclass
class _Items:
    """The items of a data set at some positions; tensors are kept while they are few enough."""

    data: Any
    name: str
    positions: Sequence[int] = ()
    kept: dict[int, tuple[Any, int]] = field(default_factory=dict)
    bytes: int = 0

    def __len__(self) -> int:
        return len(self.data)

    def read(self, index: int) -> tuple[Any, int]:
        """Return the picture or the tensor [C, H, W] at `positions[index]`, and its label."""
        if index in self.kept:
            return self.kept[index]
        item = self._item(index)
        if isinstance(item[0], Tensor) and self.bytes < KEPT_BYTES:
            self.kept[index] = item
            self.bytes += item[0].nbytes
        return item

    def again(self, index: int) -> Any:
        """Return the picture or tensor at `positions[index]` as the data set gives it now."""
        return self._item(index)[0]

    def _item(self, index: int) -> tuple[Any, int]:
        where = f"item {self.positions[index]} of {self.name}"
        item = self.data[self.positions[index]]
        if isinstance(item, Mapping):
            found = [next((item[key] for key in keys if key in item), None) for keys in (IMAGES, LABELS)]
        else:
            found = list(item[:2]) if isinstance(item, tuple | list) else [item]
        if len(found) != 2 or any(part is None for part in found):
            raise TgrError(f"{where} is no pair of an image and its label; let the data set return (image, label)")
        return _checked_value(found[0], where), _checked_label(found[1], where)


def _checked_value(value: Any, where: str) -> Any:
    if isinstance(value, Image.Image):
        return value
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if not isinstance(value, Tensor):
        raise TgrError(f"{where} is a {type(value).__name__}, where a PIL image or a tensor is expected")
    if not value.is_floating_point():
        raise TgrError(
            f"{where} holds {value.dtype}, where floating-point values are expected, as the network takes them; "
            "convert and normalise it in the data set's transform"
        )
    return value.detach().cpu()


def _checked_label(label: Any, where: str) -> int:
    try:
        number = int(label)
    except (TypeError, ValueError) as error:
        raise TgrError(f"{where} has the label {label!r}, where the number of a class is expected") from error
    if number != label:
        raise TgrError(f"{where} has the label {label!r}, where the number of a class is expected")
    return number


def _digest(value: Image.Image | Tensor) -> str:
    if isinstance(value, Tensor):
        described, content = f"{value.dtype} {tuple(value.shape)}", value.contiguous().view(torch.uint8).numpy()
        return hashlib.sha256(described.encode() + content.tobytes()).hexdigest()[:12]
    return hashlib.sha256(f"{value.mode} {value.size}".encode() + value.tobytes()).hexdigest()[:12]
