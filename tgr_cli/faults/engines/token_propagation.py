"""Propagates faults as changed tokens: through operations on single tokens, and through windowed attention.

Suffixes: F faults, K faults of one batch, P elements of a fault, E elements of all faults, M changed rows of all
faults, C columns.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults.engines.attention import Region, find_region, through
from tgr_cli.faults.engines.golden_values import GoldenValues
from tgr_cli.faults.engines.strikes import LARGEST_SHARE, Extent
from tgr_cli.faults.engines.tokens import LAYOUT, ChangedRows, Tables, is_map
from tgr_cli.faults.operation_names import name_of
from tgr_cli.faults.program import Program


class FollowedRows:
    """Propagates changed tokens along a path of operations while that is cheaper than running it."""

    def __init__(self, golden: GoldenValues) -> None:
        self.golden = golden
        self.tables = Tables(golden)
        self._regions: dict[Node, Region | None] = {}

    def starts(self, source: Node, path: Program) -> bool:
        """Return whether a change of one element of `source` can be propagated as tokens."""
        tables = self.tables
        if source not in self.golden.kept or not tables.tabular(source) or len(source.meta["val"].shape) < 3:
            return False
        at_once = self.golden.kept[source].channels_last and path and name_of(path[0][0]) in LAYOUT
        if is_map(source) and not at_once:  # channels that become tokens only later are propagated as a window
            return False
        for node, _ in path:
            if name_of(node) in LAYOUT and tables.layout(node) is not None:
                continue
            return tables.row_by_row(node) or self._region(source, path) is not None
        return True

    def spared(self, source: Node, path: Program) -> set[Node]:
        """Return the operations that run for changed tokens alone, up to the first that mixes all tokens."""
        base, spared = {source: source}, set[Node]()
        for node, _ in path:
            if node in spared:
                continue
            bases = {base[moved] for moved in node.all_input_nodes if moved in base}
            if name_of(node) in LAYOUT and self.tables.layout(node) is not None:
                (base[node],) = bases
            elif self.tables.row_by_row(node):
                base[node] = node
                spared.add(node)
            else:
                region = self._region(next(iter(bases)), path) if len(bases) == 1 else None
                if region is None:
                    break
                base[region.exit] = region.exit
                spared |= region.inner
        return spared

    def follow(
        self, source: Node, path: Program, image_K: Tensor, elements_KP: Tensor, after_KP: Tensor
    ) -> dict[Node, ChangedRows]:
        """Return the changes, by node, where propagation ends, for faults that set elements of `source`; -1 pads."""
        rows = self._struck(source, image_K, elements_KP, after_KP)
        changes, skipped = {source: rows}, set[Node]()
        for node, dead in path:
            if node in skipped:
                for value in dead:
                    changes.pop(value, None)
                continue
            change = self._step(node, changes, path, image_K)
            if change is None:
                break
            if isinstance(change, Region):
                bases = {changed.base: changed for changed in changes.values()}
                rows_out = through(self.tables, change, bases[change.entry], image_K)
                if rows_out is None:
                    break
                skipped |= change.inner
                changes[change.exit] = rows_out
                for value in (*dead, change.entry):
                    if value is not change.exit:
                        changes.pop(value, None)
                changes = {value: rows for value, rows in changes.items() if rows.base is not change.entry}
                continue
            if len(change.row_M) > LARGEST_SHARE * len(image_K) * self.tables.size(change.base)[0]:
                break
            changes[node] = change
            for value in dead:
                changes.pop(value, None)
            if not any(len(rows.row_M) for rows in changes.values()):
                return {}
        return {rows.base: rows for rows in changes.values() if len(rows.row_M)}

    def laid(self, changes: Sequence[ChangedRows], golden: Mapping[Node, Tensor]) -> dict[Node, Tensor]:
        """Return the golden values with the changed rows written into them."""
        laid = {}
        for rows in changes:
            value = golden[rows.base]
            count, columns = self.tables.size(rows.base)
            if is_map(rows.base):
                new, width = value.clone(), value.shape[3]
                new.permute(0, 2, 3, 1)[rows.fault_M, rows.row_M // width, rows.row_M % width] = rows.values_MC
            else:
                table = value.reshape(-1, count, columns).clone()
                table[rows.fault_M, rows.row_M] = rows.values_MC
                new = table.view(value.shape)
            laid[rows.base] = new if new.stride() == value.stride() else torch.empty_like(value).copy_(new)
        return laid

    def extent(self, source: Node, elements_FP: Tensor) -> Extent:
        """Return how many rows of the table of `source` the elements of each fault lie in; -1 pads."""
        count, columns = self.tables.size(source)
        if elements_FP.shape[1] == 1:
            return Extent.single(elements_FP, unit=4 * columns)
        row_FP, _ = self._places(source, torch.where(elements_FP < 0, elements_FP[:, :1], elements_FP))
        sorted_FP = row_FP.sort(dim=1).values
        rows_F = 1 + (sorted_FP[:, 1:] != sorted_FP[:, :-1]).sum(dim=1)
        return Extent(rows_F[:, None], rows_F <= max(1, LARGEST_SHARE * count), unit=4 * columns)

    def _places(self, source: Node, elements_FP: Tensor) -> tuple[Tensor, Tensor]:
        """Return row and column of elements in the table of `source`."""
        count, columns = self.tables.size(source)
        if is_map(source):
            return elements_FP % count, elements_FP // count
        return elements_FP // columns, elements_FP % columns

    def _struck(self, source: Node, image_K: Tensor, elements_KP: Tensor, after_KP: Tensor) -> ChangedRows:
        count, _ = self.tables.size(source)
        fault_E, place_E = (elements_KP >= 0).nonzero(as_tuple=True)
        row_E, column_E = self._places(source, elements_KP[fault_E, place_E])
        key_M, own_E = (fault_E * count + row_E).unique(return_inverse=True)
        fault_M, row_M = key_M // count, key_M % count
        values_MC = self.tables.golden_rows(source, image_K[fault_M], row_M)
        assert values_MC is not None
        values_MC[own_E, column_E] = after_KP[fault_E, place_E]
        return ChangedRows(source, fault_M, row_M, values_MC)

    def _step(
        self, node: Node, changes: Mapping[Node, ChangedRows], path: Program, image_K: Tensor
    ) -> ChangedRows | Region | None:
        """Return the change of `node`, or the region that starts there; None if it cannot be propagated."""
        tables = self.tables
        moved = {source: changes[source] for source in node.all_input_nodes if source in changes}
        layout = tables.layout(node)
        if name_of(node) in LAYOUT and layout is not None:
            (rows,) = {id(rows): rows for rows in moved.values()}.values()
            return rows
        if not tables.row_by_row(node):
            bases = {rows.base for rows in moved.values()}
            return self._region(bases.pop(), path) if len(bases) == 1 else None
        count, _ = tables.size(node)
        keys = [tables.moved(rows, source) for source, rows in moved.items()]
        key_M = (
            keys[0] if len(keys) == 1 or all(torch.equal(key, keys[0]) for key in keys) else torch.cat(keys).unique()
        )
        fault_M, row_M = key_M // count, key_M % count
        values_of: dict[Node, Tensor] = {}
        for source in tables.sources(node):
            if source in moved:
                values = tables.read(moved[source], source, image_K, fault_M, row_M)
            else:
                values = tables.golden_rows(source, image_K[fault_M], row_M)
            if values is None:
                return None
            values_of[source] = values
        return ChangedRows(node, fault_M, row_M, tables.compute(node, values_of, row_M))

    def _region(self, entry: Node, path: Program) -> Region | None:
        if entry not in self._regions:
            self._regions[entry] = find_region(self.tables, path, entry)
        return self._regions[entry]
