"""Cost of a network: multiply-accumulates (MACs) of its convolutions and linear layers, counted on the meta device."""

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten
# The operators behind convolutions and linear layers; products of two activations (attention's bmm) are not counted.
LAYERS = (aten.convolution, aten.addmm, aten.mm)


def macs(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Return the MACs of all convolutions and linear layers for one image of shape (C, H, W).

    `model` must be on the meta device and in evaluation mode. Layers that do not depend on the image (such as the
    network of a relative position bias) count once.
    """
    # Keep gradients on: without them nn.MultiheadAttention takes a fused path that hides its linear layers.
    with _Counter() as counter, torch.enable_grad():
        model(torch.empty(1, *input_shape, device="meta"))
    return counter.flops // 2


class Unwritten(TorchDispatchMode):
    """Leaves out operations that only write values, such as initial weights: tensors on the meta device hold none."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func._schema.name.endswith("_") and torch.Tag.inplace_view not in func.tags:
            return args[0]
        return self.computed(func, args, kwargs or {})

    def computed(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return func(*args, **kwargs)


class _Counter(Unwritten):
    """Counts by torch's formulas, once for all operations of equal shapes: torch works shapes out slowly, in Python."""

    flops = 0
    known: ClassVar[dict[Hashable, tuple[Any, int]]] = {}  # what came out, and its floating-point operations

    def computed(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if func.is_view:
            return func(*args, **kwargs)
        key = (func, _facts(args), _facts(tuple(kwargs.items())))
        if key in self.known:
            out, flops = self.known[key]
            out = _another(out)
        else:
            out, layer = func(*args, **kwargs), func._overloadpacket
            flops = flop_registry[layer](*args, **kwargs, out_val=out) if layer in LAYERS else 0
            self.known[key] = out, flops
        self.flops += flops
        return out


def _facts(value: Any) -> Hashable:
    """Return what the shape of a result depends on."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.stride(), value.dtype
    return tuple(map(_facts, value)) if isinstance(value, list | tuple) else (type(value), value)


def _another(out: Any) -> Any:
    """Return results like those that came out before."""
    if isinstance(out, torch.Tensor):
        return torch.empty_strided(out.shape, out.stride(), dtype=out.dtype, device=out.device)
    return tuple(map(_another, out)) if isinstance(out, list | tuple) else out


def widest_bytes(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Return the largest input plus output of one layer for one image of shape (C, H, W), in bytes.

    The peak of a forward pass is about 1.5 times this per image. Runs the model on a blank image.
    """
    widest = 0

    def look(_: nn.Module, given: tuple[object, ...], result: object) -> None:
        nonlocal widest
        tensors = [value for value in (*given, result) if isinstance(value, torch.Tensor)]
        widest = max(widest, sum(value.numel() * value.element_size() for value in tensors))

    first = next(model.parameters(), torch.empty(0))
    dtype = first.dtype if first.is_floating_point() else torch.float32
    hooks = [part.register_forward_hook(look) for part in model.modules() if not list(part.children())]
    try:
        with torch.inference_mode():
            model(torch.zeros(1, *input_shape, dtype=dtype, device=first.device))
    finally:
        for hook in hooks:
            hook.remove()
    return widest
