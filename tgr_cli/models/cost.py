"""What a network costs: multiply-accumulates of its convolutions and linear layers, counted without computing."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten
# What convolutions and linear layers become; products of two activations (attention's bmm) are not among them.
LAYERS = (aten.convolution, aten.addmm, aten.mm)


def macs(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Return the multiply-accumulates of all convolutions and linear layers for one image of shape (C, H, W).

    `model` lies on the meta device and is in evaluation mode. Layers that do not depend on the image (a bias table's
    network) count once.
    """
    # With gradients on: without them nn.MultiheadAttention takes a fused path in which its linear layers are hidden.
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        model(torch.empty(1, *input_shape, device="meta"))
    flops = counter.get_flop_counts()["Global"]
    return sum(flops.get(layer, 0) for layer in LAYERS) // 2


def widest_bytes(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Return what the widest layer takes in and gives out for one image of shape (C, H, W), in bytes.

    A forward pass holds about one and a half times as much an image at its peak. The model is run on a blank image.
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
