"""Matching class names to labels: one rule for class folders and for class lists in files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tgr_cli.errors import TgrError
from tgr_cli.naming import Spellings, comparable, is_number, listed

# ILSVRC's own class numbers 1 to 1,000 are in another order than the labels 0 to 999.
NUMBERED_OTHERWISE = ("imagenet",)


@dataclass(frozen=True)
class Labelled:
    """The label of each name, in the names' order, how it was found, and a note for the user ("" for none)."""

    labels: tuple[int, ...]
    how: str
    note: str = ""


def match(
    found: Sequence[str],
    callings: Sequence[Sequence[str]],
    *,
    where: str,
    dataset: str,
    what: str = "folder",
    in_order: bool = True,
    listed_by_label: bool = False,
) -> Labelled:
    """Return the label of every name in `found`: sorted class folders, or a file's class list.

    `callings` lists all accepted names of each class, in label order. Names are matched first. If all of `found` are
    numbers and none is a class name, the number is the label. If there are as many names as classes, they are taken in
    order (only with `in_order`), provided that no known name is out of place and that the order is known to be the
    label order: through `listed_by_label`, or through `_tell_order`. Raises TgrError otherwise.
    """
    known = Spellings((name, label) for label, names in enumerate(callings) for name in names)
    places = [known.places(name) for name in found]
    if len(found) == len(callings) and all(label in at for label, at in enumerate(places)):
        return Labelled(tuple(range(len(found))), f"labels by {what} name")
    unknown = [name for name, at in zip(found, places, strict=True) if not at]
    if not unknown:
        return _by_name(found, places, where, dataset, what)
    if all(map(is_number, found)) and not any(places):
        return _by_number([int(name) for name in found], len(callings), where, dataset, what)
    quoted = listed(f'"{name}"' for name in unknown)
    moved = any(stands_elsewhere(found, label, at) for label, at in enumerate(places))
    ordered = listed_by_label or _tell_order(found, unknown)
    if in_order and ordered and len(found) == len(callings) and not moved:
        first = found.index(unknown[0])
        return Labelled(
            tuple(range(len(found))),
            "labels by sorted folder" if what == "folder" else f"labels by {what} order",
            f"{where}: {quoted} {_are(unknown)} no name of {dataset}'s classes; the {what} names are taken in "
            f'their order, so that "{unknown[0]}" is {first} "{callings[first][0]}"',
        )
    raise TgrError(
        f"{where} holds the {_plural(what, len(unknown))} {quoted}, which {_are(unknown)} no "
        f"{_plural('class', len(unknown))} of {dataset}; name each {what} after one of its {len(callings):,} classes, "
        f"or number all of them from 0 to {len(callings) - 1}"
    )


def _tell_order(found: Sequence[str], unknown: Sequence[str]) -> bool:
    """Return whether sorted names are in label order.

    They are if most names are known, or if the unknown ones are codes such as WordNet ids. Plain words sorted by name
    may differ from the label order ("dogs, kittens" for cats, dogs), and so may numbers sorted as text ("class_10,
    class_9").
    """
    codes = all(any(map(str.isdecimal, name)) for name in unknown)
    return 2 * len(unknown) < len(found) or (codes and list(found) == sorted(found, key=_with_numbers))


def _by_name(found: Sequence[str], places: Sequence[list[int]], where: str, dataset: str, what: str) -> Labelled:
    by_label: dict[int, str] = {}
    for name, at in zip(found, places, strict=True):
        if len(at) > 1:
            raise TgrError(
                f'{where}: "{name}" is the name of {dataset}\'s classes {" and ".join(map(str, at))}; '
                f"give the {_plural(what, 2)} other names of the classes, or number all of them by their labels"
            )
        if at[0] in by_label:
            raise TgrError(f'{where}: "{by_label[at[0]]}" and "{name}" name one class; merge these {_plural(what, 2)}')
        by_label[at[0]] = name
    return Labelled(tuple(by_label), f"labels by {what} name")


def _by_number(numbers: Sequence[int], classes: int, where: str, dataset: str, what: str) -> Labelled:
    lowest, highest = min(numbers), max(numbers)
    if len(set(numbers)) < len(numbers):
        raise TgrError(f"{where}: two {_plural(what, 2)} have the same number; merge them")
    if highest < classes:
        told = f"{where}: the {what} names are numbers and taken as labels, from 0"
        return Labelled(tuple(numbers), f"labels by {what} number", told)
    complete = lowest == 1 and highest == classes == len(numbers)
    if complete and dataset not in NUMBERED_OTHERWISE:
        told = f"{where}: the {what} names are the numbers 1 to {classes:,}, so that 1 is taken as label 0"
        return Labelled(tuple(number - 1 for number in numbers), f"labels by {what} number, from 1", told)
    why = f"the {what} {highest} is beyond the labels 0 to {classes - 1}"
    if lowest >= 1 and highest == classes:
        why += ", and nothing says whether 1 stands for label 0 or the numbers follow another order"
    raise TgrError(f"{where}: {why}; name each {what} after its class, or by its label from 0")


def _are(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _plural(what: str, count: int) -> str:
    return what if count == 1 else {"class": "classes"}.get(what, f"{what}s")


def own_order(names: Sequence[str], where: str) -> str:
    """Return a note on the order of class folders that define a data set's classes, `names` in order; "" for none.

    Numbers are sorted by value; names that contain numbers are sorted as text, as in torchvision.
    """
    if all(map(is_number, names)):
        numbers = [int(name) for name in names]
        if numbers == list(range(len(numbers))):
            return f"{where}: the class folders are numbers and taken as labels, from 0"
        gaps = numbers != list(range(numbers[0], numbers[0] + len(numbers)))
        return (
            f"{where}: the class folders are numbers from {numbers[0]} to {numbers[-1]}{' with gaps' if gaps else ''}: "
            f"in this order they become the labels 0 to {len(names) - 1}"
            + ("; --class-names FILE, a line for each label, keeps the numbers as labels" if gaps else "")
        )
    by_value = sorted(names, key=_with_numbers)
    if by_value != list(names):
        moved = next(index for index, name in enumerate(names) if name != by_value[index])
        return (
            f'{where}: the class folders are sorted as text, so that "{names[moved]}" comes before '
            f'"{by_value[moved]}"; --class-names FILE gives another order'
        )
    return ""


def _with_numbers(name: str) -> list[tuple[bool, int, str]]:
    """Return a key for natural sorting: text as `str` compares it, runs of digits by value."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(not is_number(part), int(part) if is_number(part) else 0, part) for part in parts]


def stands_elsewhere(names: Sequence[str], label: int, at: Sequence[int]) -> bool:
    """Return whether the name at position `label` is that of other classes, `at`, so the names are in another order.

    Duplicate class names do not count: torchvision has two ImageNet classes called Cardigan and cardigan.
    """
    if not at or label in at:
        return False
    return not any(place < len(names) and comparable(names[place]) == comparable(names[label]) for place in at)
