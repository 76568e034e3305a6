"""Golden activations: the values of the fault-free network, kept for the images to inject into.

Only outputs of expensive operations are kept. Cheap functions of one kept value (batch norm, ReLU, view) are recomputed
on demand, which more than halves the memory of a convolutional network.

Suffixes: N images, B batch, F faults, C channels, H W height and width.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults import batch_sizes
from tgr_cli.faults.batch_sizes import CHEAP
from tgr_cli.faults.engines.engine import padded
from tgr_cli.faults.graph import Network
from tgr_cli.faults.graph_sites import Call
from tgr_cli.faults.operation_names import ARITHMETIC, BATCH_NORM, POINTWISE, name_of
from tgr_cli.faults.program import Program, evaluate, with_deaths

MAPPED = ("conv2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d")  # take and return feature maps (NCHW)
MAP_STAYS = (*POINTWISE, *ARITHMETIC, "neg", "dropout", "clone", "cat")


@dataclass(frozen=True)
class Kept:
    """Storage layout of a kept value, `outer` × images × rest; `stride` is that of the original value."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    outer: int
    channels_last: bool


@dataclass(frozen=True)
class Part:
    """A part of the graph: operations to run in order, after reading `gathers` from the golden values.

    `reshaping` are its operations whose size argument contains the batch size (as the first size); None if the part
    runs only at the network's own batch size.
    """

    program: Program
    gathers: tuple[Node, ...]
    reshaping: tuple[Node, ...] | None


class GoldenValues:
    """Golden values of one set of images at a time; `fill` replaces them.

    With `channels_last`, feature maps (four axes, batch first) are stored as NHWC, so that windows are contiguous runs.
    """

    def __init__(self, network: Network, *, channels_last: bool = False) -> None:
        self.network = network
        self.dependent, self._outers = network.division.dependent, network.division.outers
        self._strides = self._see()
        self.kept = self._choose(channels_last)
        self.fixed: dict[Node, Any] = {}
        self._nodes = [node for node in network.graph.nodes if node.op == "call_function"]
        self._values: dict[Node, Tensor] = {}

    @property
    def bytes_per_image(self) -> int:
        """Return the memory per image in bytes."""
        values = (node.meta["val"] for node in self.kept)
        return sum(value.numel() * value.element_size() for value in values) // self.network.batch_size

    def fill(self, x_NCHW: Tensor) -> Tensor:
        """Compute and store the golden values of these images; return their logits [N, C], on the network's device."""
        network, count, logits = self.network, len(x_NCHW), []
        self._values, self.fixed = {}, dict(network.constants)
        for start in range(0, count, network.batch_size):
            some = slice(start, min(start + network.batch_size, count))

            def keep(node: Node, value: Any, some: slice = some) -> Any:
                if node in self.kept:
                    self._keep(node, value, some, count)
                elif node not in self.dependent:
                    self.fixed[node] = value
                return value

            x_BCHW = padded(x_NCHW[some], network.batch_size).to(network.device, network.dtype)
            keep(network.input, x_BCHW)
            values = evaluate(network.program, {**network.constants, network.input: x_BCHW}, keep)
            logits.append(values[network.output])
        return torch.cat(logits)[:count]

    def maps(self, node: Node) -> Tensor | None:
        """Return a kept value of all images as [N, H, W, C], a vector as a 1 × 1 map; None for other shapes."""
        value = self._values[node]
        if self.kept[node].channels_last:
            return value
        return value.reshape(value.shape[1], 1, 1, -1) if len(self.kept[node].shape) == 2 else None

    def table(self, node: Node) -> Tensor:
        """Return a kept value of all images as [N, positions or tokens, channels]."""
        value = self._values[node]
        if self.kept[node].channels_last:
            return value.flatten(1, 2)
        assert self.kept[node].outer == 1
        return value.view(value.shape[1], -1, self.kept[node].shape[-1])

    def rows(self, node: Node, rows_K: Tensor) -> Tensor:
        """Return a kept value for selected images, with the network's own layout and strides."""
        kept, value = self.kept[node], self._values[node]
        shape = (len(rows_K) * kept.shape[0] // self.network.batch_size, *kept.shape[1:])
        if kept.channels_last:
            value = value.index_select(0, rows_K).permute(0, 3, 1, 2)
        else:
            value = value.index_select(1, rows_K).reshape(shape if kept.outer == 1 else kept.shape)
        if value.stride() != kept.stride:
            value = torch.empty_strided(value.shape, kept.stride, dtype=value.dtype, device=value.device).copy_(value)
        return value

    def elements(self, call: Call, rows_F: Tensor, elements_F: Tensor) -> Tensor:
        """Return elements of a site's output, at flat indices of the image's share; images broadcast with them."""
        if not call.site.per_image:
            return self.fixed[call.node].reshape(-1)[elements_F]
        kept, value = self.kept[call.node], self._values[call.node]
        if kept.channels_last:
            y_F, x_F, channel_F = (place for place in unflattened(elements_F, kept.shape[1:]))
            return value[rows_F, y_F, x_F, channel_F]
        inner = value.shape[2]
        return value[elements_F // inner, rows_F, elements_F % inner]

    def part(self, targets: Collection[Node], sources: Collection[Node] = ()) -> Part:
        """Return the part that recomputes `targets` after the values of `sources` have changed."""
        affected = self.network.downstream(sources)
        run, gathers, open_nodes = set[Node](), set[Node](), list(targets)
        while open_nodes:
            node = open_nodes.pop()
            if node in sources or node in run or node in gathers:
                continue
            if node in affected or (node in self.dependent and node not in self.kept):
                run.add(node)
                open_nodes.extend(node.all_input_nodes)
            elif node in self.kept:
                gathers.add(node)
        ordered = [node for node in self._nodes if node in run]
        run_too = run.intersection(self.network.constants)
        reshaping = batch_sizes.reshaping(
            self.network, [*ordered, *run_too], [*gathers, *self.dependent & set(sources)]
        )
        return Part(with_deaths(ordered, targets), tuple(gathers), reshaping)

    def run(self, part: Part, rows_K: Tensor, sources: dict[Node, Tensor] | None = None) -> dict[Node, Any]:
        """Run a part for selected images, and return the values of its targets (and others).

        The number of images must be the network's batch size, unless `part.reshaping` is set.
        """
        sizes = dict[Node, list[int]]()
        if len(rows_K) != self.network.batch_size:
            assert part.reshaping is not None, "this part runs for whole batches only"
            sizes = batch_sizes.sizes(self.network, part.reshaping, len(rows_K))
        gathered = {node: self.rows(node, rows_K) for node in part.gathers}
        return evaluate(part.program, {**self.fixed, **gathered, **(sources or {})}, sizes=sizes)

    def lies_first(self, node: Node) -> bool:
        """Return whether the batch lies in the first axis of a node's value, with whole rows per image."""
        return batch_sizes.lies_first(self.network, node)

    def _see(self) -> dict[Node, tuple[int, ...]]:
        """Return the strides of all values, found by running the network once."""
        network, strides = self.network, dict[Node, tuple[int, ...]]()

        def look(node: Node, value: Any) -> Any:
            if isinstance(value, Tensor):
                strides[node] = tuple(value.stride())
            return value

        shape = (network.batch_size, *network.input_shape)
        x_BCHW = torch.zeros(shape, dtype=network.dtype, device=network.device)
        look(network.input, x_BCHW)
        evaluate(network.program, {**network.constants, network.input: x_BCHW}, look)
        return strides

    def _choose(self, channels_last: bool) -> dict[Node, Kept]:
        """Return the values to keep: outputs of sites and of expensive operations, with a batch axis."""
        kept, maps = {}, self._maps() if channels_last else set()
        for node, outer in self._outers.items():
            if node in self.network.calls or not self._cheap(node):
                value = node.meta["val"]
                last = outer == 1 and node in maps and value.shape[0] == self.network.batch_size
                kept[node] = Kept(tuple(value.shape), self._strides[node], outer, last)
        return kept

    def _maps(self) -> set[Node]:
        """Return the values that are feature maps: inputs and outputs of convolutions and pools."""
        maps: set[Node] = set()
        nodes = [node for node in self._outers if getattr(node.meta["val"], "ndim", 0) == 4]
        for node in nodes:
            source = node.all_input_nodes[0] if node.all_input_nodes else None
            normed = name_of(node) == "getitem" and name_of(cast(Node, source)) == BATCH_NORM
            if name_of(node) in MAPPED or normed:
                maps.update({node, *cast(Node, source).all_input_nodes[:1]} if normed else {node, cast(Node, source)})
            elif name_of(node) in MAP_STAYS and not maps.isdisjoint(node.all_input_nodes):
                maps.add(node)
        return maps | {self.network.input}

    def _cheap(self, node: Node) -> bool:
        return name_of(node) in CHEAP and sum(source in self.dependent for source in node.all_input_nodes) <= 1

    def _keep(self, node: Node, value: Tensor, some: slice, count: int) -> None:
        kept = self.kept[node]
        if kept.channels_last:
            value, axis = value.permute(0, 2, 3, 1), 0
            shape = (count, *value.shape[1:])
        else:
            value, axis = value.reshape(kept.outer, self.network.batch_size, -1), 1
            shape = (value.shape[0], count, value.shape[2])
        if node not in self._values:
            self._values[node] = torch.empty(shape, dtype=value.dtype, device=value.device)
        length = some.stop - some.start
        self._values[node].narrow(axis, some.start, length).copy_(value.narrow(axis, 0, length))


def unflattened(elements_F: Tensor, shape_CHW: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return row, column and channel of flat indices into a map; for a vector 0, 0 and the index."""
    if len(shape_CHW) == 1:
        return torch.zeros_like(elements_F), torch.zeros_like(elements_F), elements_F
    _, height, width = shape_CHW
    return elements_F // width % height, elements_F % width, elements_F // (height * width)
