"""The tensors that a model stores: which ones a forward pass reads, and how it reads others in their place."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

METADATA = (torch.Size, torch.dtype, torch.device, torch.layout, bool, int, type(None))
OWN = "tgr."  # operations of guards


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return every parameter and buffer of a model by name; a shared one once, under its first name."""
    return dict([*model.named_parameters(), *model.named_buffers()])


def is_expanded(tensor: Tensor) -> bool:
    """Return whether several elements of a tensor are one value in memory."""
    return tensor.layout is torch.strided and any(
        step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True)
    )


def tensors_read(model: nn.Module, example_1CHW: Tensor) -> dict[str, Tensor]:
    """Return the parameters and buffers whose values the model reads for the example, in order of first use.

    A guard's own operation, and one that gives only facts such as a shape, does not read values.
    """
    names = {id(tensor): name for name, tensor in stored_tensors(model).items()}
    found: dict[str, Tensor] = {}

    class Reading(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            if not isinstance(result, METADATA) and not str(func).startswith(OWN):
                for tensor in _within((args, kwargs or {})):
                    if id(tensor) in names:
                        found[names[id(tensor)]] = tensor
            return result

    with torch.no_grad(), Reading():
        model(example_1CHW)
    return found


def _within(value: Any) -> Iterator[Tensor]:
    """Yield the tensors among an operation's arguments."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _within(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _within(part)


Read = Callable[[Mapping[str, Tensor]], tuple[dict[str, Tensor], list[Tensor]]]


@dataclass
class Substitution:
    """Hooks by which every forward pass of a model reads other tensors in place of stored ones, until they are removed.

    `read` takes the stored tensors by name, and returns the others by name, and bools [1]: one that is true turns the
    pass's logits to NaN. The modules hold the others during a pass, so a model runs one pass at a time.
    """

    read: Read
    _places: list[tuple[Any, Any, Tensor, Tensor]] = field(default_factory=list)
    _failed: list[Tensor] = field(default_factory=list)

    def to(self, model: nn.Module) -> list[RemovableHandle]:
        """Attach to the model, and return the handles that remove the hooks."""
        return [
            model.register_forward_pre_hook(self._enter),
            model.register_forward_hook(self._leave, always_call=True),
        ]

    def _enter(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._restore()  # after a pass that was interrupted
        stored = stored_tensors(model)
        others, self._failed = self.read(stored)
        by_identity = {id(stored[name]): other for name, other in others.items()}
        for module in model.modules():
            for container, key, tensor in _references(module):
                if id(tensor) in by_identity:
                    self._places.append((container, key, tensor, by_identity[id(tensor)]))
                    container[key] = by_identity[id(tensor)]

    def _leave(self, model: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        self._restore()
        failed, self._failed = self._failed, []
        if output is None or not failed:  # None: the pass has raised
            return None
        return output.masked_fill(torch.cat(failed).any().reshape(1, 1), torch.nan)

    def _restore(self) -> None:
        for container, key, tensor, other in self._places:
            if container[key] is other:  # a capture that failed has put its own back
                container[key] = tensor
        self._places = []


def _references(module: nn.Module) -> Iterator[tuple[Any, Any, Tensor]]:
    """Yield where a module holds tensors: its parameters, buffers, attributes, and lists, as recurrent layers do."""
    lists = [value for value in module.__dict__.values() if isinstance(value, list)]
    for container in (module._parameters, module._buffers, module.__dict__):
        yield from ((container, key, value) for key, value in list(container.items()) if isinstance(value, Tensor))
    for each in lists:
        yield from ((each, place, value) for place, value in enumerate(each) if isinstance(value, Tensor))
