"""One capture of each small network a session: torch.export takes longer than most of what tests then do with it."""

import copy
import functools
import sys
import typing
import weakref
from collections.abc import Callable, Hashable
from enum import Enum
from hashlib import sha256
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import decompositions_for_rng
from torch.export import ExportedProgram, exported_program

from tgr_cli.faults.export import ExportError

_PLAIN = (type(None), bool, int, float, str, bytes, type, Enum, torch.dtype, torch.device, BuiltinFunctionType)
_PARTS = ("_parameters", "_buffers", "_modules")  # described by their names in the network
_programs: dict[object, ExportedProgram | ExportError] = {}


class UnknownError(Exception):
    """A network has something that may change what is captured, and that its description cannot hold."""


def once() -> None:
    """Let networks that differ in their weights only share the graph of one capture; each keeps its own weights.

    Nothing changes a graph after its capture, and no weight decides what is captured: torch.export sees shapes only.
    A network is captured anew if it has hooks, methods of its own, or attributes of an unknown kind.
    """
    graph = sys.modules.get("tgr_cli.faults.graph")
    if graph is not None and not hasattr(graph.export, "captures"):
        graph.export = _remembering(graph.export)
        # torch lists the operations that it could leave whole at each capture; the list stays the same.
        if listed := getattr(exported_program, "_collect_all_valid_cia_ops", None):
            exported_program._collect_all_valid_cia_ops = functools.cache(listed)
        # It also writes Callable[P, T] ten thousand times a capture; that of typing is written once and kept.
        torch._ops.Callable = typing.Callable  # type: ignore[attr-defined]
        # And it replaces kernels of each operation for a dozen kinds of devices; those at hand are enough.
        devices = ("CPU", "Meta", *["CUDA"] * torch.cuda.is_available())
        for kernels in ("_BACKEND_KEYS_TO_OVERRIDE", "_AUTOGRAD_ALIAS_BACKEND_KEYS_TO_OVERRIDE"):
            keys = getattr(exported_program, kernels, [])
            keys[:] = [key for key in keys if key.name.removeprefix("Autograd") in devices]
        # And it makes new tensors for the state of a random generator, which no network here draws from.
        if tracker := getattr(decompositions_for_rng, "PhiloxStateTracker", None):
            tracker.reset()
            tracker.reset = classmethod(lambda _: None)
        # Nobody reads which line of torch made each node.
        if hasattr(torch.fx.config, "do_not_emit_stack_traces"):
            torch.fx.config.do_not_emit_stack_traces = True


def _remembering(export: Callable[..., ExportedProgram]) -> Callable[..., ExportedProgram]:
    untouched = torch.export.export

    def remembering(model: nn.Module, example: Tensor, **options: Any) -> ExportedProgram:
        if torch.export.export is not untouched:
            return export(model, example, **options)
        try:
            key = (_described(model), _facts(example), tuple(options.items()))
        except UnknownError:
            return export(model, example, **options)
        if key not in _programs:
            _programs[key] = _tried(export, model, example, **options)
        found = _programs[key]
        if isinstance(found, ExportError):
            raise ExportError(str(found))
        program = copy.copy(found)
        program._state_dict = dict(model.state_dict(keep_vars=True))
        buffers = dict(model.named_buffers(remove_duplicate=False))
        program._constants = {name: buffers.get(name, value) for name, value in program.constants.items()}
        return program

    remembering.captures = export  # type: ignore[attr-defined]
    return remembering


def _tried(export: Callable[..., ExportedProgram], *given: Any, **options: Any) -> ExportedProgram | ExportError:
    """Return the capture, without the weights of its network, or the reason why there is none."""
    try:
        program = copy.copy(export(*given, **options))
    except ExportError as error:
        return ExportError(str(error))
    program._state_dict = {}
    return program


def _described(model: nn.Module) -> Hashable:
    """Return everything of a network that its graph depends on. Raises UnknownError where there may be more."""
    tensors = [
        (name, tensor)
        for found in (model.named_parameters, model.named_buffers)
        for name, tensor in found(remove_duplicate=False)
    ]
    if any(type(tensor) not in (Tensor, nn.Parameter) for _, tensor in tensors):
        raise UnknownError  # torch.export takes other kinds apart, so the program's state is not the network's
    order: dict[int, int] = {}
    for _, tensor in tensors:
        order.setdefault(id(tensor), len(order))
    memory: dict[int, int] = {}
    stored = tuple(
        (
            name,
            order[id(tensor)],
            memory.setdefault(tensor.untyped_storage().data_ptr(), len(memory)),
            tensor.storage_offset(),
            _facts(tensor),
        )
        for name, tensor in tensors
    )
    modules = tuple(
        (name, _kind(type(module)), _attributes(module, order))
        for name, module in model.named_modules(remove_duplicate=False)
    )
    return stored, modules


def _attributes(module: nn.Module, order: dict[int, int]) -> Hashable:
    held = {name: value for name, value in vars(module).items() if name not in _PARTS}
    if module.training or any(value for name, value in held.items() if name.endswith("_hooks")):
        raise UnknownError
    return tuple((name, _value(value, order)) for name, value in held.items())


def _kind(kind: type[nn.Module]) -> Hashable:
    """Return a class of modules with the methods and constants that it has at present."""
    classes = kind.__mro__[: kind.__mro__.index(nn.Module)]
    members = [(name, member) for each in classes for name, member in vars(each).items() if not name.startswith("__")]
    return kind, tuple((name, _value(member, {})) for name, member in members if not isinstance(member, property))


def _value(value: object, order: dict[int, int]) -> Hashable:
    """Return a value, or what it consists of. Raises UnknownError for what may change without being seen."""
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, FunctionType) and set(value.__code__.co_freevars) <= {"__class__"}:
        return value
    if isinstance(value, staticmethod | classmethod):
        return _value(value.__func__, order)
    if isinstance(value, functools.partial):
        return _value((value.func, value.args, value.keywords), order)
    if isinstance(value, weakref.ref):
        return _value(value(), order)
    if isinstance(value, dict):
        return dict, tuple((_value(key, order), _value(one, order)) for key, one in value.items())
    if isinstance(value, tuple | list):
        return type(value), tuple(_value(one, order) for one in value)
    if isinstance(value, set | frozenset):
        return set, frozenset(_value(one, order) for one in value)
    if isinstance(value, Tensor) and id(value) in order:
        return Tensor, order[id(value)]
    if type(value) is Tensor:
        return _facts(value), sha256(value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()).hexdigest()
    raise UnknownError


def _facts(tensor: Tensor) -> Hashable:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad, type(tensor)
