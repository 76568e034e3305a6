"""Chooses the layer to explain: the last one with feature maps (a spatial layout).

Suffixes: B batch, C channels, H W height and width.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx.node import Node

from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.faults.graph import Network

PREFIX = "backbone."  # prefix of a text-guided classifier's backbone in module and tensor names


@dataclass(frozen=True)
class Layer:
    """A module's output: name, graph node, and the shape (C, H, W) of its maps for one image."""

    name: str
    node: Node
    shape: tuple[int, int, int]
    channels_last: bool

    def maps(self, value: Tensor) -> Tensor:
        """Return the node's value as maps [B, C, H, W]."""
        return value.permute(0, 3, 1, 2) if self.channels_last else value

    def value(self, maps_BCHW: Tensor) -> Tensor:
        """Return maps [B, C, H, W] in the layout of the node's value."""
        return maps_BCHW.permute(0, 2, 3, 1).contiguous() if self.channels_last else maps_BCHW


def find(network: Network, name: str | None = None) -> Layer:
    """Return the layer called `name`, or the last one with maps that every path from image to logits goes through.

    A module stands for the output of its last call. In a text-guided classifier "backbone." may be omitted. Raises
    TgrError if there is no such module or it has no maps.
    """
    dependent = network.downstream([network.input])
    called = [node for node in network.graph.nodes if node.op == "call_function" and node in dependent]
    nodes = [node for node in called if not _is_truth(node)]
    outputs = {path: node for node in nodes for path in _paths(node)}
    if name is not None:
        found = next((path for path in (name, PREFIX + name) if path in outputs), None)
        if found is None:
            modules = ", ".join(path for path in outputs if path.count(".") == path.startswith(PREFIX))
            raise TgrError(
                f'--layer "{name}" is no module that the images go through; name one of {modules}, or one within them.'
                + did_you_mean(name, outputs)
            )
        layer = _layer(network, found, outputs[found])
        if layer is None:
            shape = "×".join(map(str, outputs[found].meta["val"].shape[1:]))
            raise TgrError(
                f'the output of --layer "{name}" has the shape {shape} for one image, where maps (channels, height and '
                "width) are expected; name an earlier layer, or leave it out for the last one with maps"
            )
        return layer
    for node in reversed(nodes):
        named = next((path for path in _paths(node) if outputs[path] is node), node.name)
        layer = _layer(network, named, node)
        if layer is not None and _is_passed_by_all(network, node):
            return layer
    raise TgrError("the model has no layer with feature maps that all its logits depend on; name one with --layer")


def work_after(network: Network, layer: Layer) -> float:
    """Return the share of the network's multiply-accumulates after the layer."""
    after = network.downstream([layer.node]) - {layer.node}
    macs = {node: call.site.macs for node, call in network.calls.items()}
    return sum(work for node, work in macs.items() if node in after) / sum(macs.values())


def _paths(node: Node) -> list[str]:
    """Return the paths of the modules that contain a node, outermost first, without the model itself."""
    stack = (node.meta.get("nn_module_stack") or {}).values()
    return [path for path in (re.sub(r"@\d+", "", entry[0]) for entry in stack) if path]


def _layer(network: Network, name: str, node: Node) -> Layer | None:
    """Return a node's output as a layer, or None if it has no maps; maps are square, as the images are."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.ndim != 4 or value.shape[0] != network.batch_size:
        return None
    first, second, third = (int(size) for size in value.shape[1:])
    if second == third > 1:
        return Layer(name, node, (first, second, third), channels_last=False)
    return Layer(name, node, (third, first, second), channels_last=True) if first == second > 1 else None


def _is_passed_by_all(network: Network, node: Node) -> bool:
    """Return whether every path from the images to the logits goes through `node`.

    Paths through truth values carry none of the maps.
    """
    reached = {network.input}
    for other in network.graph.nodes:
        if other is not node and not _is_truth(other) and not reached.isdisjoint(other.all_input_nodes):
            reached.add(other)
    return network.output not in reached


def _is_truth(node: Node) -> bool:
    """Return whether a node's value is true or false, as that of a comparison by a guard."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype == torch.bool
