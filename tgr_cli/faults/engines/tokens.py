"""Changes as rows: the tokens of a value that a fault has changed, and their new values.

A value whose last axis holds the channels of tokens is a table of rows × columns for each image; a feature map is a
table of positions × channels.

Suffixes: K faults, M changed rows of all faults, R rows of an image's table, B batch, C columns, m rows of another
table that form one row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx.node import Node, map_arg

from tgr_cli.faults.engines.golden_values import GoldenValues
from tgr_cli.faults.operation_names import ARITHMETIC, POINTWISE, name_of

LAYOUT = (
    *("view", "_unsafe_view", "reshape", "flatten", "unflatten", "permute", "transpose", "unsqueeze", "squeeze"),
    *("clone", "alias", "detach", "dropout", "roll", "pad", "slice", "select", "cat"),
)
ROW_BY_ROW = ("linear", "layer_norm", *ARITHMETIC, *POINTWISE)


@dataclass(frozen=True)
class ChangedRows:
    """Changed rows of the table of `base`, for K faults: row `row_M` of fault `fault_M` becomes `values_MC`.

    Pairs of fault and row are unique and in ascending order.
    """

    base: Node
    fault_M: Tensor
    row_M: Tensor
    values_MC: Tensor

    def take(self, faults: Tensor, count: int) -> "ChangedRows":
        """Return the rows of selected faults of `count`, renumbered in the order given, which must be ascending."""
        number_K = torch.full((count,), -1, device=faults.device)
        number_K[faults] = torch.arange(len(faults), device=faults.device)
        fault_M = number_K[self.fault_M]
        chosen = (fault_M >= 0).nonzero().flatten()
        return ChangedRows(self.base, fault_M[chosen], self.row_M[chosen], self.values_MC[chosen])


@dataclass(frozen=True)
class RowMap:
    """A value's rows as rows of the table of `base`: row r concatenates its rows `source_Rm[r]`.

    `target_R` is the inverse: the row that contains each row of the base, or -1.
    """

    base: Node
    source_Rm: Tensor
    target_R: Tensor


class Tables:
    """The tables of a network's values, and the golden rows of the images in `golden`."""

    def __init__(self, golden: GoldenValues) -> None:
        self.golden = golden
        self._layouts: dict[Node, RowMap | None] = {}

    def size(self, node: Node) -> tuple[int, int]:
        """Return the numbers of rows and columns of a node's table."""
        shape = node.meta["val"].shape
        columns = shape[1] if is_map(node) else shape[-1]
        return node.meta["val"].numel() // columns // self.golden.network.batch_size, columns

    def tabular(self, node: Node) -> bool:
        """Return whether a node's value is one table per image."""
        shape: Sequence[int] = getattr(node.meta["val"], "shape", ())
        return len(shape) > 1 and shape[0] % self.golden.network.batch_size == 0 and self.golden.lies_first(node)

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
        elements_BN = self._elements(node, base).reshape(batch_size, -1)
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

    def base(self, node: Node) -> Node | None:
        """Return the last node before `node` that is not a pure layout operation; None if there are several."""
        if name_of(node) not in LAYOUT:
            return node
        found = {self.base(source) for source in node.all_input_nodes}
        return found.pop() if len(found) == 1 else None

    def _elements(self, node: Node, base: Node) -> Tensor:
        """Return, for each element of a node's value, the index of the same element in `base`, or -1 for padding."""
        if node is base:
            shape = node.meta["val"].shape
            return torch.arange(shape.numel()).view(shape)
        if name_of(node) in ("clone", "alias", "detach", "dropout"):
            return self._elements(node.all_input_nodes[0], base)
        if name_of(node) in ("view", "_unsafe_view", "reshape"):
            return self._elements(node.all_input_nodes[0], base).reshape(node.meta["val"].shape)
        args, kwargs = map_arg((node.args, node.kwargs), lambda source: self._elements(source, base))
        if name_of(node) == "pad":
            args = (*args[:2], "constant", -1)
        elements: Tensor = node.target(*args, **kwargs)  # type: ignore[operator]
        return elements

    def golden_rows(self, node: Node, image_M: Tensor, row_M: Tensor) -> Tensor | None:
        """Return golden rows of a node's table, [M, C]; None if they are neither kept nor cheap to compute."""
        layout = self.layout(node)
        if layout is None:
            return None
        if layout.base is not node:
            source_Mm = layout.source_Rm[row_M]
            image_Mm = image_M[:, None].expand_as(source_Mm)
            values = self.golden_rows(layout.base, image_Mm.reshape(-1), source_Mm.reshape(-1))
            return None if values is None else values.view(len(row_M), self.size(node)[1])
        rows, columns = self.size(node)
        if node in self.golden.kept:
            return self.golden.table(node).view(-1, columns).index_select(0, image_M * rows + row_M)
        if name_of(node) not in ROW_BY_ROW:
            return None
        values_of = {}
        for source in self.sources(node):
            values = self.golden_rows(source, image_M, row_M)
            if values is None or self.size(source)[0] != rows:
                return None
            values_of[source] = values
        return self.compute(node, values_of, row_M)

    def sources(self, node: Node) -> list[Node]:
        """Return the arguments of a node that depend on the images."""
        return [source for source in node.all_input_nodes if source in self.golden.dependent]

    def row_by_row(self, node: Node) -> bool:
        """Return whether each row of a node's table depends only on the same row of its arguments' tables."""
        if name_of(node) not in ROW_BY_ROW or self.layout(node) is None or is_map(node):
            return False
        sources = self.sources(node)
        if any(self.layout(source) is None or self.size(source)[0] != self.size(node)[0] for source in sources):
            return False
        if name_of(node) == "linear":
            return sources == [node.args[0]]
        if name_of(node) == "layer_norm":
            return sources == [node.args[0]] and len(node.args[1]) == 1  # type: ignore[arg-type]
        return all(source.meta["val"].shape == node.meta["val"].shape for source in sources)

    def compute(self, node: Node, values_of: dict[Node, Tensor], row_M: Tensor) -> Tensor:
        """Return the rows `row_M` of a node's table, [M, C], given the same rows of its arguments."""
        fixed = self.golden.fixed
        if name_of(node) in ("linear", "layer_norm"):
            args, kwargs = map_arg((node.args, node.kwargs), lambda source: values_of.get(source, fixed.get(source)))
        else:
            shape, (rows, columns) = node.meta["val"].shape, self.size(node)

            def operand(source: Node) -> Tensor:
                if source in values_of:
                    return values_of[source]
                value: Tensor = fixed[source]
                if value.numel() == 1:
                    return value.reshape(())
                return value.expand(shape)[: shape[0] // self.golden.network.batch_size].reshape(rows, columns)[row_M]

            args, kwargs = map_arg((node.args, node.kwargs), operand)
        result: Tensor = node.target(*args, **kwargs)  # type: ignore[operator]
        return result

    def read(self, rows: ChangedRows, node: Node, image_K: Tensor, fault_M: Tensor, row_M: Tensor) -> Tensor | None:
        """Return rows of `node`, a layout of `rows.base`, after the faults, [M, C]."""
        layout = self.layout(node)
        assert layout is not None
        assert layout.base is rows.base
        base_rows, columns = self.size(rows.base)
        wanted_Mm = fault_M[:, None] * base_rows + layout.source_Rm[row_M]
        known_M = rows.fault_M * base_rows + rows.row_M
        if not len(known_M):  # nothing of `base` changed, though another argument of the operation did
            return self.golden_rows(node, image_K[fault_M], row_M)
        place_Mm = torch.searchsorted(known_M, wanted_Mm).clamp_max(len(known_M) - 1)
        there_Mm = known_M[place_Mm] == wanted_Mm
        values = rows.values_MC.index_select(0, place_Mm.reshape(-1))
        missing = (~there_Mm).reshape(-1).nonzero().flatten()
        if len(missing):
            wanted = wanted_Mm.reshape(-1)[missing]
            golden = self.golden_rows(rows.base, image_K[wanted // base_rows], wanted % base_rows)
            if golden is None:
                return None
            values[missing] = golden
        return values.view(len(row_M), layout.source_Rm.shape[1] * columns)

    def moved(self, rows: ChangedRows, node: Node) -> Tensor:
        """Return the changed rows of `node`, a layout of `rows.base`, as fault · R + row, ascending."""
        layout = self.layout(node)
        assert layout is not None
        assert layout.base is rows.base
        target_M = layout.target_R[rows.row_M]
        keys_M = (rows.fault_M * self.size(node)[0] + target_M)[target_M >= 0]
        return keys_M.unique()


def is_map(node: Node) -> bool:
    """Return whether a node's value is a feature map with channels before positions."""
    return name_of(node) == "conv2d"
