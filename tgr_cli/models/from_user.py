"""User-defined models: a function that returns a network."""

import copy
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from torch import nn
from torch.fx import GraphModule
from torch.nn.parameter import is_lazy

from tgr_cli.data.transforms import Preprocessing
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.entry import IMAGENET, WithoutPretrained
from tgr_cli.models.names import not_importable

Parameter = inspect.Parameter
POSITIONAL_OR_NAMED = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class UserModel(WithoutPretrained):
    """A network of the user's own, of which nothing is known before it is built; `path` is its name.

    `origin` says where its weights come from, "" where that must be found out.
    """

    path: str
    origin: ClassVar[str] = ""

    def takes_num_classes(self) -> bool:
        """Return whether the network is built for a number of classes."""
        return False

    def note(self, model: nn.Module) -> str:
        """Return what a user should know about a built network, "" for nothing."""
        return ""

    def advice(self, classes: str) -> str:
        """Return the next step where the network has other classes than the data set; `classes` is about its own."""
        return f"let the function take num_classes, or name the data set that it was made for{classes}"


@dataclass(frozen=True)
class UserFunction(UserModel):
    """The user's function `module:function`, called with `num_classes` if it takes that argument."""

    path: str

    def build(self, num_classes: int) -> nn.Module:
        with _current_folder_importable():
            function = self._function()
            try:
                if isinstance(function, nn.Module):
                    model: Any = function
                elif self._takes_num_classes(function):
                    model = function(num_classes=num_classes)
                else:
                    model = function()
            except (Exception, SystemExit) as error:
                raise TgrError(
                    f"--model {self.path} failed when called ({_brief(error)}); mend the function"
                ) from error
        if not isinstance(model, nn.Module):
            raise TgrError(
                f"--model {self.path} returned a {type(model).__name__}, where a torch nn.Module is expected"
            )
        model = _with_modes(_uncompiled(model))
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if is_lazy(tensor) or (tensor.is_meta and not torch.get_default_device().type == "meta"):
                raise TgrError(
                    f"--model {self.path} returned a model without values in {name}; initialise all of its tensors"
                )
        return model

    def preprocessing(self) -> Preprocessing:
        return IMAGENET

    def takes_num_classes(self) -> bool:
        """Return whether the function takes `num_classes`."""
        with _current_folder_importable():
            return self._takes_num_classes(self._function())

    def _takes_num_classes(self, function: Callable[..., Any]) -> bool:
        """Return whether a function takes `num_classes`; raises TgrError if it has other required arguments."""
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # functions written in C have no signature, custom ones may be invalid
            return False
        needed = [p.name for p in parameters if p.default is p.empty and p.kind in POSITIONAL_OR_NAMED]
        if others := [name for name in needed if name != "num_classes"]:
            raise TgrError(
                f"--model {self.path} cannot be called without {', '.join(others)}; name a function that takes "
                "num_classes or nothing, which calls this one"
            )
        return any(p.name == "num_classes" or p.kind is p.VAR_KEYWORD for p in parameters)

    def _function(self) -> Callable[..., Any]:
        module_name, _, name = self.path.partition(":")
        try:
            module = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:
            raise not_importable(self.path, _brief(error)) from error
        function = getattr(module, name, None)
        if not callable(function):
            raise TgrError(
                f'--model {self.path}: {module_name} has no function "{name}".{did_you_mean(name, dir(module))}'
            )
        return function


@final
@dataclass(frozen=True)
class GivenModule(UserFunction):
    """A module in memory, which `path` is a name for. It is copied, so that it stays in the mode that it is in."""

    module: nn.Module = field(repr=False)
    origin = "a module in memory"

    def takes_num_classes(self) -> bool:
        return False

    def _function(self) -> Callable[..., Any]:
        try:
            return copy.deepcopy(self.module)
        except Exception as error:  # tensors with a history of gradients, or objects of the module's own
            raise TgrError(
                f"the module {self.path} cannot be copied ({_brief(error)}), which keeps it unchanged; give one that "
                "copy.deepcopy copies"
            ) from error


def _uncompiled(model: nn.Module) -> nn.Module:
    """Return the model with compiled modules, at any depth, replaced by their originals.

    Hooks do not fire in compiled code, and compilation takes minutes; the original modules compute the same.
    """
    while isinstance(original := getattr(model, "_orig_mod", None), nn.Module):
        model = original
    if model._compiled_call_impl is not None:  # set by module.compile()
        model._compiled_call_impl = None
    for name, child in model._modules.items():  # named_children() lists a shared module under one name only
        if child is not None and (plain := _uncompiled(child)) is not child:
            setattr(model, name, plain)
    return model


def _with_modes(model: nn.Module) -> nn.Module:
    """Return the model, in which exported modules accept train() and eval().

    An exported graph computes what its model did in the mode in which it was exported: torch makes these calls fail,
    lest they be taken to change it.
    """
    for module in model.modules():
        if isinstance(module, GraphModule):
            for name in ("train", "eval"):
                vars(module).pop(name, None)
    return model


def _brief(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
