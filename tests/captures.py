"""One capture of each small network a session: torch.export takes longer than most of what tests then do with it."""

import copy
import functools
import sys
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram, exported_program
from toys import toy_net

from tgr_cli.models.classifier import TextGuidedClassifier
from tgr_cli.models.digits_cnn import DigitsCNN
from tgr_cli.models.lenet import LeNet5

_NETWORKS = (toy_net(), DigitsCNN(), LeNet5(), TextGuidedClassifier(DigitsCNN(8), 10, 8))
# The attributes of modules that are untouched.
_PLAIN = {type(module): set(vars(module)) for network in _NETWORKS for module in network.modules()}
_programs: dict[object, ExportedProgram] = {}


def once() -> None:
    """Let small networks of equal weights share the graph of one capture; each keeps its own weights.

    Nothing changes a graph after its capture. Other networks, and those to which a test has added something, are
    captured anew.
    """
    graph = sys.modules.get("tgr_cli.faults.graph")
    if graph is not None and not hasattr(graph.export, "captures"):
        graph.export = _remembering(graph.export)
        # torch lists the operations that it could leave whole at each capture; the list stays the same.
        if listed := getattr(exported_program, "_collect_all_valid_cia_ops", None):
            exported_program._collect_all_valid_cia_ops = functools.cache(listed)


def _remembering(export: Callable[..., ExportedProgram]) -> Callable[..., ExportedProgram]:
    untouched = torch.export.export

    def remembering(model: nn.Module, example: Tensor, **options: Any) -> ExportedProgram:
        if torch.export.export is not untouched or _marked(model):
            return export(model, example, **options)
        state = model.state_dict(keep_vars=True)
        code = tuple(type(module).forward for module in model.modules())
        network = (repr(model), code, tuple(map(_facts, state.values())), _bytes(state))
        key = (network, _facts(example), tuple(options.items()))
        if key not in _programs:
            _programs[key] = export(model, example, **options)
        program = copy.copy(_programs[key])
        program._state_dict = dict(state)
        return program

    remembering.captures = export  # type: ignore[attr-defined]
    return remembering


def _facts(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad, type(tensor)


def _bytes(state: dict[str, Tensor]) -> str:
    raw = (tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes() for tensor in state.values())
    return sha256(b"".join(raw)).hexdigest()


def _marked(model: nn.Module) -> bool:
    """Return whether a module is of another network, or has hooks, or a method or attribute of its own."""
    for module in model.modules():
        hooks = module._forward_hooks or module._forward_pre_hooks
        if hooks or module.training or set(vars(module)) != _PLAIN.get(type(module)):
            return True
    return False
