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
