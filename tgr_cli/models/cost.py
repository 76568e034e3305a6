"""Cost of a network: multiply-accumulates (MACs) of its convolutions and linear layers, counted on the meta device."""

from collections.abc import Mapping
from typing import Any

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


class _Counter(TorchDispatchMode):
    """Counts by torch's formulas; its FlopCounterMode also assigns counts to modules, which adds to the time."""

    flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out, layer = func(*args, **(kwargs or {})), func._overloadpacket
        if layer in LAYERS:
            self.flops += flop_registry[layer](*args, **(kwargs or {}), out_val=out)
        return out


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
