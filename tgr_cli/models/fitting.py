"""Matching a checkpoint's tensors to a model: the tensors whose names, after one common prefix, are the model's.

Training scripts nest state dicts in dicts and modules in wrapper modules; both only prepend to the names. So there is
no list of known prefixes: every prefix under which the file has names of the model is tried.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tgr_cli.models.checkpoint import WRAPPERS, CheckpointTensors, NamedTensor

COUNTER = "num_batches_tracked"  # counter of BatchNorm layers; old checkpoints lack it
# Tensors that profilers (thop) and weight averaging add to a state dict.
LEFTOVERS = frozenset({"total_ops", "total_params", "n_averaged", COUNTER})
TRIED = 64  # number of prefixes tried, those that match most names of the model first
TOP = "top"

Parts = tuple[str, ...]
Named = dict[Parts, NamedTensor]


@dataclass(frozen=True)
class Fit:
    """The tensors of a checkpoint under one prefix, by the model's names, and their differences from the model.

    `missing`: names that only the model has. `unexpected`: names that only the file has. `wrong`: names with another
    shape or kind of dtype. `leftovers`: number of tensors under the prefix that do not affect the model. `averages`:
    whether one of these counts averaged steps (SWA, EMA).
    """

    prefix: Parts
    entries: Mapping[str, NamedTensor]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong: tuple[str, ...]
    leftovers: int = 0
    averages: bool = False

    @property
    def whole(self) -> bool:
        """Return whether these are exactly the model's tensors."""
        return not (self.missing or self.unexpected or self.wrong)

    @property
    def distance(self) -> int:
        """Return the number of names in which the file differs from the model."""
        return len(self.missing) + len(self.unexpected) + len(self.wrong)

    @property
    def key(self) -> str:
        """Return the prefix as the user writes it in --checkpoint-key."""
        return ".".join(self.prefix) or TOP

    @property
    def state(self) -> dict[str, Tensor]:
        """Return the tensors by the model's names."""
        return {name: entry.tensor for name, entry in self.entries.items()}

    def equals(self, other: "Fit") -> bool:
        """Return whether the other fit has the same tensors with equal values."""
        mine, theirs = self.state, other.state
        return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


class ModelTensors:
    """A model's tensors by name, and by the parts of the name without wrapper modules.

    `others` are state dict entries that are no tensors, such as packed weights of quantised layers.
    """

    def __init__(self, model: nn.Module) -> None:
        state = model.state_dict()
        self.tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        self.others = tuple(name for name, value in state.items() if not isinstance(value, Tensor))
        self.tied = _tied(self.tensors)
        self.computed = {name: value for name, value in model.named_buffers() if name not in state}
        self.by_parts = {_plain(name): name for name in self.tensors}
        self.wrappers_matter = len(self.by_parts) < len(self.tensors)  # two tensors differ in wrapper names alone
        if self.wrappers_matter:
            self.by_parts = {tuple(name.split(".")): name for name in self.tensors}

    @cached_property
    def spellings(self) -> list[dict[Parts, str]]:
        """Return the names as they are, and with their shared leading parts removed one after the other.

        A user's function may wrap a network in a module, while the file holds the weights of the bare network.
        """
        found = [self.by_parts]
        while found[-1] and len({parts[0] for parts in found[-1]}) == 1 and all(len(parts) > 2 for parts in found[-1]):
            found.append({parts[1:]: name for parts, name in found[-1].items()})
        return found

    def named(self, entries: Sequence[NamedTensor]) -> Named:
        """Return the tensors of a checkpoint, keyed by the parts that are compared with the model's names.

        Wrapper names are kept only if tensors of the model or of the checkpoint differ in nothing else.
        """
        by_plain = {entry.plain: entry for entry in entries}
        matter = self.wrappers_matter or len(by_plain) < len(entries)
        return {entry.parts: entry for entry in entries} if matter else by_plain

    def differs(self, name: str, tensor: Tensor) -> bool:
        """Return whether `tensor` cannot be the model's tensor of this name: another shape or kind of dtype."""
        mine = self.tensors[name]
        return (
            mine.shape != tensor.shape or mine.is_floating_point() != tensor.is_floating_point() or not usable(tensor)
        )


def usable(tensor: Tensor) -> bool:
    """Return whether a tensor is dense and real, with its values in memory (not meta, quantised or a subclass)."""
    dense = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_complex()
    return dense and not tensor.is_meta and type(tensor) in (Tensor, nn.Parameter)


def fits(checkpoint: CheckpointTensors, own: ModelTensors) -> list[Fit]:
    """Return the fit for each candidate prefix of the checkpoint, the best first; never empty."""
    named = own.named(checkpoint.entries)
    found: list[Fit] = []
    for spelling in own.spellings:
        votes = Counter(parts[:at] for parts in named for at in range(len(parts)) if parts[at:] in spelling)
        prefixes = [prefix for prefix, _ in votes.most_common(TRIED)] or [()]
        found += [_fit(named, own, spelling, prefix) for prefix in prefixes]
        found = _without_others(found)
        if any(fit.whole for fit in found):
            break
    return sorted(found, key=lambda fit: (not fit.whole, -len(fit.entries), fit.distance))


def _fit(named: Named, own: ModelTensors, spelling: Mapping[Parts, str], prefix: Parts) -> Fit:
    under = {parts[len(prefix) :]: entry for parts, entry in named.items() if parts[: len(prefix)] == prefix}
    taken = {spelling[parts]: entry for parts, entry in under.items() if parts in spelling}
    if prefix:  # a module outside the wrapper, such as a head beside a DataParallel backbone
        bare = {spelling[parts]: entry for parts, entry in named.items() if parts in spelling}
        taken = {**bare, **taken} if _complete(taken, bare, own) else taken
    holders = {entry.holder for entry in taken.values()}
    others = [(parts, e) for parts, e in under.items() if parts not in spelling and e.holder in holders]
    leftovers = [entry for parts, entry in others if _means_nothing(parts, entry, own)]
    left = {id(entry) for entry in leftovers}
    return Fit(
        prefix=prefix,
        entries={name: taken[name] for name in own.tensors if name in taken},
        missing=tuple(
            name
            for name in own.tensors
            if not (name in taken or name.endswith(COUNTER) or any(twin in taken for twin in own.tied.get(name, ())))
        ),
        unexpected=tuple(entry.name for _, entry in others if id(entry) not in left),
        wrong=tuple(name for name, entry in taken.items() if own.differs(name, entry.tensor)),
        leftovers=len(leftovers),
        averages=any(entry.parts[-1] == "n_averaged" for entry in leftovers),
    )


def _tied(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """Return, for each tied tensor, all its names; files often store it under one of them only."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.layout is torch.strided and tensor.numel() and tensor.data_ptr():
            groups.setdefault((tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()), []).append(name)
    return {name: tuple(group) for group in groups.values() if len(group) > 1 for name in group}


def _complete(taken: Mapping[str, NamedTensor], bare: Mapping[str, NamedTensor], own: ModelTensors) -> bool:
    """Return whether the tensors without the prefix are exactly those missing under it."""
    missing = {name for name in own.tensors if name not in taken}
    return len(bare) < len(taken) and bare.keys() <= missing


def _means_nothing(parts: Parts, entry: NamedTensor, own: ModelTensors) -> bool:
    """Return whether a tensor that the model lacks can be dropped without changing the model's output."""
    if parts[-1] in LEFTOVERS:
        return True
    computed = own.computed.get(".".join(parts))
    return (
        computed is not None
        and usable(entry.tensor)
        and computed.shape == entry.tensor.shape
        and bool((computed == entry.tensor).all())
    )


def _without_others(found: list[Fit]) -> list[Fit]:
    """Drop `unexpected` names that belong to another complete fit: one dict may hold two sets of weights."""
    whole = {id(entry) for fit in found if fit.whole for entry in fit.entries.values()}
    names = {entry.name for fit in found for entry in fit.entries.values() if id(entry) in whole}
    return [replace(fit, unexpected=tuple(name for name in fit.unexpected if name not in names)) for fit in found]


def _plain(name: str) -> Parts:
    return tuple(part for part in name.split(".") if part not in WRAPPERS)
