"""The user's own models: a function that returns a network."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from tgr_cli.data.transforms import Preprocessing
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.entry import IMAGENET, WithoutPretrained


@final
@dataclass(frozen=True)
class UserFunction(WithoutPretrained):
    """`module:function` of the user's; it is called with `num_classes` where it takes that."""

    path: str

    def build(self, num_classes: int) -> nn.Module:
        with _current_folder_importable():
            function = self._function()
            try:
                parameters = inspect.signature(function).parameters
                takes = "num_classes" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
                model = function(num_classes=num_classes) if takes else function()
            except (Exception, SystemExit) as error:
                raise TgrError(
                    f"--model {self.path} failed when called ({_brief(error)}); mend the function"
                ) from error
        if not isinstance(model, nn.Module):
            raise TgrError(
                f"--model {self.path} returned a {type(model).__name__}, where a torch nn.Module is expected"
            )
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if is_lazy(tensor) or (tensor.is_meta and not torch.get_default_device().type == "meta"):
                raise TgrError(f"--model {self.path} returned a model without values in {name}; make it whole")
        return model

    def preprocessing(self) -> Preprocessing:
        return IMAGENET

    def _function(self) -> Callable[..., Any]:
        module_name, _, name = self.path.partition(":")
        try:
            module = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:
            raise TgrError(
                f'--model {self.path}: "{module_name}" cannot be imported ({_brief(error)}); it must be installed '
                "or lie in the current folder"
            ) from error
        function = getattr(module, name, None)
        if not callable(function):
            raise TgrError(
                f'--model {self.path}: {module_name} has no function "{name}".{did_you_mean(name, dir(module))}'
            )
        return function


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
