"""Tables of rows: a network's values as rows for each image, and how operations lay them out anew.

A value whose last axis holds the channels of tokens is a table of rows × columns for each image; a feature map is a
table of positions × channels. The batch may lie behind the tokens, as nn.MultiheadAttention has it.

Suffixes: R rows of an image's table, B batch, C columns, N elements of an image's share, m rows of another table that
form one row.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx.node import Node, map_arg

from tgr_cli.faults.engines.golden_values import GoldenValues
from tgr_cli.faults.operation_names import name_of

LAYOUT = (
    *("view", "_unsafe_view", "reshape", "flatten", "unflatten", "permute", "transpose", "unsqueeze", "squeeze"),
    *("clone", "alias", "detach", "dropout", "roll", "pad", "slice", "select", "cat"),
)


@dataclass(frozen=True)
class RowMap:
    """A value's rows as rows of the table of `base`: row r concatenates its rows `source_Rm[r]`.

    `target_R` is the inverse: the row that contains each row of the base, or -1.
    """

    base: Node
    source_Rm: Tensor
    target_R: Tensor


class Layouts:
    """Where the rows of a network's values lie."""

    def __init__(self, golden: GoldenValues) -> None:
        self.golden = golden
        self._outers = golden.network.division.outers
        self._layouts: dict[Node, RowMap | None] = {}
        self._placings: dict[Node, Tensor | None] = {}

    def size(self, node: Node) -> tuple[int, int]:
        """Return the numbers of rows and columns of a node's table."""
        shape = node.meta["val"].shape
        columns = shape[1] if is_map(node) else shape[-1]
        return node.meta["val"].numel() // columns // self.golden.network.batch_size, columns

    def tabular(self, node: Node) -> bool:
        """Return whether a node's value is one table per image."""
        shape: Sequence[int] = getattr(node.meta["val"], "shape", ())
        if len(shape) < 2 or node not in self._outers:
            return False
        kept = self.golden.kept.get(node)
        if kept is not None and kept.channels_last and not is_map(node) and math.prod(shape[2:]) > 1:
            return False  # rows of such a map are neither positions nor kept together
        if self._outers[node] == 1:
            return self.golden.lies_first(node)
        return math.prod(shape) // self._outers[node] // self.golden.network.batch_size % shape[-1] == 0

    def layout(self, node: Node) -> RowMap | None:
        """Return how a node's rows map to those of its base, or None if they are not whole rows."""
        if node not in self._layouts:
            self._layouts[node] = self._find(node)
        return self._layouts[node]

    def _find(self, node: Node) -> RowMap | None:
        if not self.tabular(node):
            return None
        base = self.base(node)
        if base is None or not self.tabular(base):
            return None
        (rows, columns), (base_rows, base_columns) = self.size(node), self.size(base)
        if base is node:
            source_R = torch.arange(rows)
            return RowMap(node, source_R[:, None], source_R)
        batch_size, share = self.golden.network.batch_size, base_rows * base_columns
        elements_BN = self._by_image(node, self._elements(node, base))
        element_RC = elements_BN[0].view(rows, columns)
        shifted_BN = elements_BN[:1] + share * torch.arange(batch_size)[:, None]
        if columns % base_columns or int(element_RC.min()) < 0 or not torch.equal(elements_BN, shifted_BN):
            return None
        if is_map(base):
            row_RC, column_RC = element_RC % base_rows, element_RC // base_rows
        else:
            row_RC, column_RC = element_RC // base_columns, element_RC % base_columns
        row_RmC, column_RmC = (value.view(rows, -1, base_columns) for value in (row_RC, column_RC))
        source_Rm = row_RmC[:, :, 0]
        if not ((row_RmC == source_Rm[:, :, None]).all() and (column_RmC == torch.arange(base_columns)).all()):
            return None
        if len(source_Rm.unique()) < source_Rm.numel():
            return None
        target_R = torch.full((base_rows,), -1)
        target_R[source_Rm] = torch.arange(rows)[:, None].expand_as(source_Rm)
        device = self.golden.network.device
        return RowMap(base, source_Rm.to(device), target_R.to(device))

    def carries(self, node: Node, bases: Collection[Node]) -> bool:
        """Return whether a node only lays out the rows of one of these, perhaps not as whole rows."""
        return name_of(node) in LAYOUT and self.base(node) is not node and self.base(node) in bases

    def placing(self, node: Node) -> Tensor | None:
        """Return where each row of its argument's base lies in a node that joins it with fixed rows, or None.

        So a class token is put before those of an image; -1 is a row that is left out.
        """
        if node not in self._placings:
            self._placings[node] = self._find_placing(node)
        return self._placings[node]

    def _find_placing(self, node: Node) -> Tensor | None:
        sources = self.sources(node)
        if name_of(node) != "cat" or len(sources) != 1 or node not in self.golden.kept or not self.tabular(node):
            return None
        (source,) = sources
        if self.layout(source) is None:
            return None
        base = self.base(source)
        assert base is not None
        (rows, columns), (base_rows, base_columns) = self.size(node), self.size(base)
        if columns != base_columns:
            return None

        def numbered(value: Node) -> Tensor:
            return self._elements(source, base) if value is source else torch.full(value.meta["val"].shape, -1)

        args, kwargs = map_arg((node.args, node.kwargs), numbered)
        element_RC = self._by_image(node, node.target(*args, **kwargs))[0].view(rows, columns)  # type: ignore[operator]
        row_RC, column_RC = element_RC // base_columns, element_RC % base_columns
        if is_map(base):
            row_RC, column_RC = element_RC % base_rows, element_RC // base_rows
        moved_R = element_RC[:, 0] >= 0
        whole_R = (row_RC == row_RC[:, :1]).all(dim=1) & (column_RC == torch.arange(columns)).all(dim=1)
        if not (whole_R | (element_RC < 0).all(dim=1)).all():
            return None
        target_R = torch.full((base_rows,), -1)
        target_R[row_RC[moved_R, 0]] = moved_R.nonzero().flatten()
        return target_R.to(self.golden.network.device)

    def base(self, node: Node) -> Node | None:
        """Return the last node before `node` that is not a pure layout operation; None if there are several."""
        if name_of(node) not in LAYOUT or self.placing(node) is not None:
            return node
        found = {self.base(source) for source in node.all_input_nodes}
        return found.pop() if len(found) == 1 else None

    def _elements(self, node: Node, base: Node) -> Tensor:
        """Return, for each element of a node's value, the index of the same element in `base`, or -1 for padding."""
        if node is base:
            shape = node.meta["val"].shape
            outer, batch_size = self._outers[node], self.golden.network.batch_size
            return torch.arange(shape.numel()).view(batch_size, outer, -1).transpose(0, 1).reshape(shape)
        if name_of(node) in ("clone", "alias", "detach", "dropout"):
            return self._elements(node.all_input_nodes[0], base)
        if name_of(node) in ("view", "_unsafe_view", "reshape"):
            return self._elements(node.all_input_nodes[0], base).reshape(node.meta["val"].shape)
        args, kwargs = map_arg((node.args, node.kwargs), lambda source: self._elements(source, base))
        if name_of(node) == "pad":
            args = (*args[:2], "constant", -1)
        elements: Tensor = node.target(*args, **kwargs)  # type: ignore[operator]
        return elements

    def _by_image(self, node: Node, value: Tensor) -> Tensor:
        """Return a value in the shape of a node's as [B, N]."""
        batch_size = self.golden.network.batch_size
        return value.reshape(self._outers[node], batch_size, -1).transpose(0, 1).reshape(batch_size, -1)

    def sources(self, node: Node) -> list[Node]:
        """Return the arguments of a node that depend on the images."""
        return [source for source in node.all_input_nodes if source in self.golden.dependent]


def is_map(node: Node) -> bool:
    """Return whether a node's value is a feature map with channels before positions."""
    return name_of(node) == "conv2d"
