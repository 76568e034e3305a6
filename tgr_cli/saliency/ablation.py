"""Ablation-CAM: the drop of a class score when one channel of a layer is set to zero.

Desai and Ramaswamy, "Ablation-CAM: visual explanations for deep convolutional network via gradient-free localization",
WACV 2020, as implemented in pytorch-grad-cam. That implementation runs the whole model for each channel; here it gets
only the part after the layer, and the model itself is not modified.

Suffixes: B batch, K ≤ B, C classes or channels, H W height and width.
"""

import io
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass

import numpy as np
import torch
from pytorch_grad_cam import AblationCAM
from pytorch_grad_cam.ablation_layer import AblationLayer
from torch import Tensor, nn
from torch.fx.node import Node

from tgr_cli.faults.engines.engine import padded
from tgr_cli.faults.graph import Network
from tgr_cli.faults.program import Program, evaluate, with_deaths
from tgr_cli.saliency.layer import Layer


@dataclass(frozen=True)
class Inference:
    """One inference on one image: its logits [C], and the values that an explanation needs."""

    logits_C: Tensor
    values: Mapping[Node, Tensor]


class Explainer:
    """A network split after a layer."""

    def __init__(self, network: Network, layer: Layer) -> None:
        self.network, self.layer = network, layer
        nodes = [node for node in network.graph.nodes if node.op == "call_function"]
        after = network.downstream([layer.node]) - {layer.node}
        rest = [node for node in nodes if node in after]
        self._needed = {layer.node, *(used for node in rest for used in node.all_input_nodes)} - after
        self._whole = with_deaths(nodes, {network.output, *self._needed})
        self._rest = with_deaths(rest, {network.output})

    def see(self, x_CHW: Tensor, parameters: Mapping[str, Tensor] | None = None) -> Inference:
        """Return one inference, in which `parameters` override the model's own tensors."""
        network = self.network
        x_BCHW = x_CHW.to(network.device, network.dtype).expand(network.batch_size, *x_CHW.shape).contiguous()
        constants = {**network.constants, **network.standing(parameters or {})}
        values = evaluate(self._whole, {**constants, network.input: x_BCHW})
        held = {node: value for node, value in ({**constants, **values}).items() if node in self._needed}
        return Inference(values[network.output][0], held)

    def explain(self, seen: Inference, class_index: int) -> np.ndarray:
        """Return the map of a class, float32 [H, W], scaled to minimum 0 and maximum 1.

        A constant map gives all 0; a map with non-finite values is returned with them.
        """
        maps_1CHW = self.layer.maps(seen.values[self.layer.node])[:1].float()  # numpy has no bfloat16
        score = float(seen.logits_C[class_index])

        def target(logits_C: Tensor) -> Tensor:
            # grad-cam divides the drop by the score, which inverts the map for a negative score. This score is shifted
            # to 1 and drops by the same amount.
            return logits_C[class_index].cpu().double() - score + 1

        rest = _Rest(self.network, self.layer, self._rest, seen.values)
        cam = AblationCAM(
            rest, [rest.layer], ablation_layer=_SetToZero(), batch_size=min(self.network.batch_size, len(maps_1CHW[0]))
        )
        with redirect_stderr(io.StringIO()), np.errstate(all="ignore"):  # its progress bar cannot be disabled
            return cam(maps_1CHW, [target])[0]


class _Rest(nn.Module):
    """The network after a layer, from the layer's maps [K, C, H, W] to logits [K, C]; other values are fixed."""

    def __init__(self, network: Network, layer: Layer, program: Program, values: Mapping[Node, Tensor]) -> None:
        super().__init__()
        self.layer = nn.Identity()  # grad-cam replaces this module
        # grad-cam takes the device from it
        self.device_of = nn.Parameter(torch.empty(0, device=network.device), requires_grad=False)
        self._network, self._cut, self._program, self._values = network, layer, program, values

    def forward(self, maps_KCHW: Tensor) -> Tensor:
        maps_BCHW = padded(self.layer(maps_KCHW), self._network.batch_size).to(self._network.dtype)
        values = evaluate(self._program, {**self._values, self._cut.node: self._cut.value(maps_BCHW)})
        return values[self._network.output][: len(maps_KCHW)]


class _SetToZero(AblationLayer):
    """Sets one channel of each row to zero, as published.

    grad-cam's own layer does so only if the minimum activation is 0; for a negative minimum it uses minimum - 1e7.
    """

    def __call__(self, maps_KCHW: Tensor) -> Tensor:
        rows = range(len(maps_KCHW))
        self.activations[rows, self.indices[: len(rows)]] = 0
        return self.activations
