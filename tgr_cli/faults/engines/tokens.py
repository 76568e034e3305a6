"""Changes as rows: the tokens of a value that a fault has changed, and by how much.

Suffixes: K faults, M changed rows of all faults, R rows of an image's table, B batch, C columns, m rows of another
table that form one row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx.node import Node, map_arg
from torch.nn import functional

from tgr_cli.faults.engines.layouts import Layouts, is_map
from tgr_cli.faults.operation_names import ARITHMETIC, POINTWISE, name_of

ROW_BY_ROW = ("linear", "layer_norm", *ARITHMETIC, *POINTWISE)
LOST = 2.0**-24  # of a row's root mean square: half a unit in the last place, which its readers round away


@dataclass(frozen=True)
class ChangedRows:
    """Changed rows of the table of `base`, for K faults: row `row_M` of fault `fault_M` changes by `delta_MC`.

    Pairs of fault and row are unique and in ascending order.
    """

    base: Node
    fault_M: Tensor
    row_M: Tensor
    delta_MC: Tensor

    def take(self, faults: Tensor, count: int) -> "ChangedRows":
        """Return the rows of selected faults of `count`, renumbered in the order given, which must be ascending."""
        number_K = torch.full((count,), -1, device=faults.device)
        number_K[faults] = torch.arange(len(faults), device=faults.device)
        fault_M = number_K[self.fault_M]
        chosen = (fault_M >= 0).nonzero().flatten()
        return ChangedRows(self.base, fault_M[chosen], self.row_M[chosen], self.delta_MC[chosen])

    def where(self, chosen_M: Tensor) -> "ChangedRows":
        """Return the rows where `chosen_M` is True."""
        if chosen_M.all():
            return self
        chosen = chosen_M.nonzero().flatten()
        return ChangedRows(self.base, self.fault_M[chosen], self.row_M[chosen], self.delta_MC[chosen])


class Tables(Layouts):
    """The tables of a network's values, and the golden rows of the images in `golden`."""

    def placed(self, rows: ChangedRows, node: Node) -> ChangedRows:
        """Return changed rows where `placing` puts them."""
        target_R = self.placing(node)
        assert target_R is not None
        row_M = target_R[rows.row_M]
        order = (rows.fault_M * self.size(node)[0] + row_M)[row_M >= 0].argsort()
        chosen = (row_M >= 0).nonzero().flatten()[order]
        return ChangedRows(node, rows.fault_M[chosen], row_M[chosen], rows.delta_MC[chosen])

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
            return self.golden.table_rows(node, image_M, row_M, columns)
        if name_of(node) not in ROW_BY_ROW:
            return None
        values_of = {}
        for source in self.sources(node):
            values = self.golden_rows(source, image_M, row_M)
            if values is None or self.size(source)[0] != rows:
                return None
            values_of[source] = values
        return self.compute(node, values_of, row_M)

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
                return self._by_image(node, value.expand(shape))[0].view(rows, columns)[row_M]

            args, kwargs = map_arg((node.args, node.kwargs), operand)
        result: Tensor = node.target(*args, **kwargs)  # type: ignore[operator]
        return result

    def changed(self, node: Node, deltas_of: dict[Node, Tensor], image_M: Tensor, row_M: Tensor) -> Tensor | None:
        """Return the changes of the rows `row_M` of a node's table, [M, C], given those of its changed arguments.

        None if that needs golden values which are neither kept nor cheap to compute.
        """
        name, sources = name_of(node), self.sources(node)
        if name == "linear":
            return functional.linear(deltas_of[sources[0]], self.golden.fixed[node.args[1]])  # type: ignore[index]
        if name in ("add", "sub") and len(node.args) == 2 and not node.kwargs:
            parts = [deltas_of[source] for source in node.args if source in deltas_of]  # type: ignore[index]
            if name == "sub" and node.args[1] in deltas_of:
                parts[-1] = -parts[-1]
            return parts[0] if len(parts) == 1 else parts[0] + parts[1]
        factors = {"mul": node.args, "div": node.args[:1]}.get(name, ())
        if len(sources) == 1 and not node.kwargs and sum(factor is sources[0] for factor in factors) == 1:
            return self.compute(node, deltas_of, row_M)
        before_of = {source: self.golden_rows(source, image_M, row_M) for source in sources}
        if any(before is None for before in before_of.values()):
            return None
        after_of = {s: before + deltas_of[s] if s in deltas_of else before for s, before in before_of.items()}  # type: ignore[operator]
        return self.compute(node, after_of, row_M) - self.compute(node, before_of, row_M)  # type: ignore[arg-type]

    def lasting(self, rows: ChangedRows, image_K: Tensor) -> ChangedRows:
        """Return the rows whose change is not lost in the rounding of what reads them."""
        golden_MC = self.golden_rows(rows.base, image_K[rows.fault_M], rows.row_M) if len(rows.row_M) else None
        if golden_MC is None:
            return rows
        return rows.where(~lost(rows.delta_MC, golden_MC))

    def by_rows(self, node: Node, value: Tensor) -> Tensor:
        """Return a value in the layout of a node's, for any number of images, as [B, R, C]; a view where possible."""
        if is_map(node):
            return value.permute(0, 2, 3, 1).flatten(1, 2)
        (rows, columns), outer = self.size(node), self._outers[node]
        return value.reshape(outer, -1, rows // outer, columns).transpose(0, 1).reshape(-1, rows, columns)

    def laid(self, changes: Sequence[ChangedRows], golden: Mapping[Node, Tensor]) -> dict[Node, Tensor]:
        """Return the golden values with the changes of rows added to them."""
        laid = {}
        for rows in changes:
            new = golden[rows.base].clone()
            if is_map(rows.base):
                width = new.shape[3]
                at = (rows.fault_M, rows.row_M // width, rows.row_M % width)
                table = new.permute(0, 2, 3, 1)
            else:
                (count, columns), outer = self.size(rows.base), self._outers[rows.base]
                inner = count // outer
                at = (rows.row_M // inner, rows.fault_M, rows.row_M % inner)
                new = new.contiguous()
                table = new.view(outer, -1, inner, columns)
            table[at] += rows.delta_MC  # pairs of fault and row are unique
            value = golden[rows.base]
            laid[rows.base] = new if new.stride() == value.stride() else torch.empty_like(value).copy_(new)
        return laid

    def read(self, rows: ChangedRows, node: Node, fault_M: Tensor, row_M: Tensor) -> Tensor:
        """Return the changes of rows of `node`, a layout of `rows.base`, [M, C]; 0 where nothing has changed."""
        layout = self.layout(node)
        assert layout is not None
        assert layout.base is rows.base
        base_rows, columns = self.size(rows.base)
        wanted_Mm = fault_M[:, None] * base_rows + layout.source_Rm[row_M]
        known_M = rows.fault_M * base_rows + rows.row_M
        if not len(known_M):  # nothing of `base` changed, though another argument of the operation did
            return rows.delta_MC.new_zeros((len(row_M), layout.source_Rm.shape[1] * columns))
        if torch.equal(known_M, wanted_Mm.reshape(-1)):
            return rows.delta_MC.view(len(row_M), -1)
        place_Mm = torch.searchsorted(known_M, wanted_Mm).clamp_max(len(known_M) - 1)
        there_Mm = known_M[place_Mm] == wanted_Mm
        values = rows.delta_MC.index_select(0, place_Mm.reshape(-1))
        values[~there_Mm.reshape(-1)] = 0.0
        return values.view(len(row_M), layout.source_Rm.shape[1] * columns)

    def moved(self, rows: ChangedRows, node: Node) -> Tensor:
        """Return the changed rows of `node`, a layout of `rows.base`, as fault · R + row, ascending."""
        layout = self.layout(node)
        assert layout is not None
        assert layout.base is rows.base
        target_M = layout.target_R[rows.row_M]
        keys_M = (rows.fault_M * self.size(node)[0] + target_M)[target_M >= 0]
        return keys_M.unique()


def lost(delta: Tensor, golden: Tensor) -> Tensor:
    """Return which rows (the last axis) change by so little that the rounding of their readers hides it."""
    return delta.abs().amax(dim=-1) <= LOST * golden.square().mean(dim=-1).sqrt()
