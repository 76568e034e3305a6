"""Propagates faults as changed tokens: through operations on single tokens, and through windowed attention.

Suffixes: K faults, M changed rows of all faults, C columns.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults.engines.attention import Region, find_region, through
from tgr_cli.faults.engines.golden_values import GoldenValues
from tgr_cli.faults.engines.tokens import LAYOUT, ChangedRows, Tables, is_map
from tgr_cli.faults.operation_names import name_of
from tgr_cli.faults.program import Program

LARGEST_SHARE = 0.5


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

    def follow(
        self, source: Node, path: Program, image_K: Tensor, elements_K: Tensor, after_K: Tensor
    ) -> dict[Node, ChangedRows]:
        """Return the changes, by node, where propagation ends, for faults that set elements of `source`."""
        rows = self._struck(source, image_K, elements_K, after_K)
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

    def _struck(self, source: Node, image_K: Tensor, elements_K: Tensor, after_K: Tensor) -> ChangedRows:
        count, columns = self.tables.size(source)
        mapped = is_map(source)
        row_K, column_K = (
            (elements_K % count, elements_K // count) if mapped else (elements_K // columns, elements_K % columns)
        )
        values_KC = self.tables.golden_rows(source, image_K, row_K)
        assert values_KC is not None
        fault_K = torch.arange(len(image_K), device=image_K.device)
        values_KC[fault_K, column_K] = after_K
        return ChangedRows(source, fault_K, row_K, values_KC)

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
