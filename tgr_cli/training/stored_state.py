"""Whether a stored state has the form of the state that takes its place: names, shapes, and kinds of values.

torch's own load_state_dict checks the names and shapes of a model's tensors alone. What it lets through fails many
steps later, or trains on something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

import torch
from torch import Tensor

WORD = 2**63
Record = TypeVar("Record")


def record(kind: type[Record], values: Any) -> Record:
    """Return a dataclass of a stored dict; raises ValueError where a value has another type than its field, or is NaN.

    An int may stand for a float.
    """
    types = get_type_hints(kind)
    for field in fields(kind):  # type: ignore[arg-type]
        require_alike(values[field.name], types[field.name](), field.name)
    return kind(**values)


def require_alike(found: Any, like: Any, where: str) -> None:
    """Raise ValueError where `found` has another form than `like`: keys, lengths, shapes, or types of values.

    Numbers may be any that are finite and fit a machine word; keys may be more than `like` has.
    """
    if isinstance(like, Tensor):
        fits = _is_dense(found) and found.shape == like.shape and found.dtype == like.dtype
    elif isinstance(like, Mapping):
        fits = isinstance(found, Mapping) and found.keys() >= like.keys()
        for name in like if fits else ():
            require_alike(found[name], like[name], f"{where}.{name}")
    elif isinstance(like, list | tuple):
        fits = isinstance(found, list | tuple) and len(found) == len(like)
        for item, other in zip(found, like, strict=True) if fits else ():
            require_alike(item, other, where)
    elif isinstance(like, int | float) and not isinstance(like, bool):
        fits = type(found) in ((int,) if isinstance(like, int) else (int, float)) and -WORD < found < WORD
    else:
        fits = type(found) is type(like)
    if not fits:
        raise ValueError(f"{where} is of another form")


def require_moments(found: Mapping[str, Any], parameters: Sequence[Tensor]) -> None:
    """Raise ValueError where what an optimiser remembers of its parameters are no numbers, or tensors of other shapes.

    A new optimiser remembers nothing, so there is nothing to be alike to.
    """
    for number, remembered in found.items():
        shape = parameters[int(number)].shape
        for name, value in remembered.items():
            fits = _is_dense(value) and value.shape in (shape, torch.Size()) and value.is_floating_point()
            if not fits and value is not None:
                require_alike(value, 0.0, name)


def _is_dense(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta
