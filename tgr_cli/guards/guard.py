"""What a guard is, and how a model runs under guards.

Suffixes: B batch, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tgr_cli.errors import TgrError
from tgr_cli.guards.operations import WEIGHTED, Attached, Operation, key_of, names_of, observed
from tgr_cli.guards.tensors import Substitution, tensors_read

Answer = Literal["rerun", "zero", "flag"]
ANSWERS: tuple[Answer, ...] = ("rerun", "zero", "flag")
SHOWN = 4
ATTRIBUTE = "_tgr_guards"


class Guard(ABC):
    """One technique of protection on some of a model's operations, or of the tensors that it stores.

    A guard holds no tensors of the model: it sees each operation or tensor as it is used, and may compare it with what
    it computed once, when it was attached. With the answer `flag` an image for which a check fails gets NaN for all its
    logits.
    """

    technique: ClassVar[str]

    @property
    @abstractmethod
    def summary(self) -> str:
        """Return the guard in a few words, for people."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return what a model's card stores of the guard, apart from the technique."""

    @classmethod
    @abstractmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the guard that `to_json` described; raises KeyError, TypeError or ValueError if it is damaged."""


class OperationGuard(Guard):
    """A technique that checks or bounds what operations give."""

    kinds: ClassVar[tuple[str, ...]]  # of operations that it can guard; either weighted ones or others

    @property
    @abstractmethod
    def operations(self) -> Mapping[str, Any]:
        """Return what is guarded, by the names of the operations."""

    def name_of(self, operation: Operation) -> str:
        """Return the name by which `operations` holds an operation, which is among them."""
        several = f"{operation.path}#{operation.number}"
        return several if several in self.operations else operation.path

    def fitted(self, operations: Mapping[str, Operation]) -> Self:
        """Return the guard with what it computes once, from the operations by name as they run without a fault."""
        return self

    @abstractmethod
    def after(self, operation: Operation, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the output that takes the place of this one, and the images whose check failed, bool [B] or None."""

    @abstractmethod
    def refuse(self, name: str, operation: Operation, output: Tensor) -> None:
        """Raise TgrError for an operation that the technique cannot guard, or to which what is stored does not fit."""


class TensorGuard(Guard):
    """A technique that checks parameters and buffers as the model reads them."""

    @property
    @abstractmethod
    def tensors(self) -> tuple[str, ...]:
        """Return the names of the tensors that are guarded."""

    def fitted(self, tensors: Mapping[str, Tensor]) -> Self:
        """Return the guard with what it computes once, from the tensors by name as they are without a fault."""
        return self

    @abstractmethod
    def read(self, name: str, tensor: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the tensor that the model reads in place of a stored one, and whether its check failed: bool [1]."""

    @abstractmethod
    def refuse(self, name: str, tensor: Tensor, *, saved: bool) -> None:
        """Raise TgrError for a tensor that the technique cannot guard, or to which what is stored does not fit.

        `saved` is whether it is part of the model's state dict.
        """


def whole_number(value: Any) -> int:
    """Return a whole number of at least 0 as JSON gives it; raises ValueError for all else, such as 2.5 and "2"."""
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value


def stored_names(stored: Mapping[str, Any], key: str = "operations") -> tuple[str, ...]:
    """Return the names of what is guarded, stored as the list `key`; raises ValueError if damaged."""
    names = stored[key]
    strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not strings or not names or len(set(names)) < len(names):
        raise ValueError(names)
    return tuple(names)


@dataclass
class _Pass:
    """The guards' work in one forward pass: they compute every operation, and collect the images to flag."""

    guards: Mapping[tuple[str, int, bool], Sequence[OperationGuard]]
    failed: list[Tensor] = field(default_factory=list)

    def __call__(self, operation: Operation) -> Any:
        guards = self.guards.get((operation.path, operation.number, operation.weighted), ())
        given = operation.argument(0, "input")
        recorded = bool(guards) and isinstance(given, Tensor) and given.requires_grad and torch.is_grad_enabled()
        if recorded:  # its gradient needs what an operation gave in place, which a guard may change: let it have a copy
            operation = operation.on(given.clone())
        output = operation.run()
        in_place = recorded and output is operation.argument(0, "input")
        for guard in guards:
            output, failed_B = guard.after(operation, output)
            if failed_B is not None:
                self.failed.append(failed_B)
        return given.copy_(output) if in_place else output

    def flagged(self, logits_BC: Any) -> Any:
        """Return the logits, NaN for the images for which a check failed."""
        for failed_B in self.failed:
            logits_BC = logits_BC.masked_fill(failed_B[:, None], torch.nan)
        return logits_BC


def protect(model: nn.Module, guards: Sequence[Guard], example_1CHW: Tensor) -> nn.Module:
    """Let the model run under these guards from now on, and return it; in evaluation mode.

    The modules, tensors and their names stay as they are. Raises TgrError where the model already has guards, or one of
    them names an operation or a tensor that the model does not use for the example, or that it cannot guard.
    """
    if guards_of(model):
        raise TgrError("the model is protected already; protect the model from which it was made")
    of_tensors = [guard for guard in guards if isinstance(guard, TensorGuard)]
    of_operations = [guard for guard in guards if isinstance(guard, OperationGuard)]
    handles = chain(
        _attach_to_tensors(model, of_tensors, example_1CHW) if of_tensors else (),
        _attach_to_operations(model, of_operations, example_1CHW) if of_operations else (),
    )
    with ExitStack() as undo:
        for handle in handles:
            undo.callback(handle.remove)
        undo.pop_all()
    setattr(model, ATTRIBUTE, tuple(guards))
    return model


def _attach_to_tensors(
    model: nn.Module, guards: Sequence[TensorGuard], example_1CHW: Tensor
) -> Iterator[RemovableHandle]:
    read, state = tensors_read(model, example_1CHW), model.state_dict().keys()
    for guard in guards:
        for name in guard.tensors:
            if name not in read:
                raise TgrError(_unknown(guard, name, "reads no such tensor", list(read)))
            guard.refuse(name, read[name], saved=name in state)
    ready = [guard.fitted({name: read[name] for name in guard.tensors}) for guard in guards]
    yield from Substitution(partial(_checked, ready)).to(model)
    guarded = {name for guard in guards for name in guard.tensors}
    if past := [name for name in tensors_read(model, example_1CHW) if name in guarded]:
        raise TgrError(
            f'"{past[0]}" is read from a place of its own, which guards do not know: keep it in its module alone'
        )


def _checked(guards: Sequence[TensorGuard], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Return what the model reads in place of its guarded tensors, and whether their checks failed."""
    read = {name: guard.read(name, tensors[name]) for guard in guards for name in guard.tensors}
    return {name: value for name, (value, _) in read.items()}, [bad for _, bad in read.values() if bad is not None]


def _attach_to_operations(
    model: nn.Module, guards: Sequence[OperationGuard], example_1CHW: Tensor
) -> Iterator[RemovableHandle]:
    seen: list[tuple[Operation, Tensor]] = []
    with torch.no_grad(), observed(model, lambda operation, value: seen.append((operation, value))):
        model(example_1CHW)
    named: dict[tuple[str, bool], tuple[Operation, Tensor]] = {}
    for name, (operation, value) in zip(names_of([operation for operation, _ in seen]), seen, strict=True):
        named[name, operation.weighted] = operation, value
    by_key: dict[tuple[str, int, bool], list[OperationGuard]] = {}
    for guard in guards:
        weighted = guard.kinds[0] in WEIGHTED
        for name in guard.operations:
            found = named.get((name, weighted))
            if found is None or found[0].kind not in guard.kinds:
                there = [other for (other, _), (one, _) in named.items() if one.kind in guard.kinds]
                raise TgrError(_unknown(guard, name, f"runs no such {' or '.join(guard.kinds)} there", there))
            guard.refuse(name, *found)
        ready = guard.fitted({name: named[name, weighted][0] for name in guard.operations})
        for name in guard.operations:
            by_key.setdefault((*key_of(name), weighted), []).append(ready)
    paths = {(path, weighted) for path, _, weighted in by_key}
    within = {operation.within for operation, _ in seen if (operation.path, operation.weighted) in paths}
    yield from Attached(partial(_Pass, by_key), _Pass.flagged, within).to(model)


def guards_of(model: nn.Module) -> tuple[Guard, ...]:
    """Return the guards under which a model runs."""
    return tuple(getattr(model, ATTRIBUTE, ()))


def refuse_without_graph(model: nn.Module, error: TgrError) -> None:
    """Raise TgrError for a guarded model that cannot be traced (`error`): hooks strike what its guards have seen."""
    if guards_of(model):
        raise TgrError(
            f"{error}; without its graph, faults cannot be injected into a protected model: inject into the model from "
            "which it was made"
        ) from error


def _unknown(guard: Guard, name: str, lacking: str, there: Sequence[str]) -> str:
    shown = f"{', '.join(there[:SHOWN])}{', …' if there[SHOWN:] else ''}" or "none"
    return (
        f'the model is protected by {guard.technique} in "{name}", and {lacking} (it has {shown}); protect this model '
        'anew with "tgr guard"'
    )
