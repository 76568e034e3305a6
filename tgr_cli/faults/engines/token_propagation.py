"""Propagates faults as changed tokens: through operations on single tokens, and through attention.

Suffixes: F faults, K faults of one batch, P elements of a fault, E elements of all faults, M changed rows of all
faults, C columns.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults.engines.attention import Mixing, Region, find_mixing, find_region, mixed, through, widespread
from tgr_cli.faults.engines.golden_values import GoldenValues
from tgr_cli.faults.engines.layouts import LAYOUT, is_map
from tgr_cli.faults.engines.strikes import LARGEST_SHARE, Extent
from tgr_cli.faults.engines.tokens import ChangedRows, Tables
from tgr_cli.faults.operation_names import name_of
from tgr_cli.faults.program import Program


@dataclass(frozen=True)
class Ended:
    """Faults, by their position among all, and the changes of each node's value; rows number these faults."""

    faults_K: Tensor
    changes: dict[Node, ChangedRows]

    def divided(self, chosen_K: Tensor) -> "tuple[list[Ended], Ended]":
        """Return the chosen faults, if there are any, and the others; only those with a change are in either."""
        alive_K = torch.zeros_like(chosen_K)
        for rows in self.changes.values():
            alive_K[rows.fault_M] = True
        if alive_K.all() and not chosen_K.any():
            return [], self
        parts = []
        for part_K in (alive_K & chosen_K, alive_K & ~chosen_K):
            some = part_K.nonzero().flatten()
            taken = {id(rows): rows.take(some, len(chosen_K)) for rows in self.changes.values()}
            changes = {value: taken[id(rows)] for value, rows in self.changes.items()}
            parts.append(Ended(self.faults_K[some], changes))
        return [part for part in parts[:1] if len(part.faults_K)], parts[1]

    @property
    def tables(self) -> list[ChangedRows]:
        """Return the changes of tables in which any row has changed."""
        return [rows for rows in {rows.base: rows for rows in self.changes.values()}.values() if len(rows.row_M)]


class FollowedRows:
    """Propagates changed tokens along a path of operations while that is cheaper than running it."""

    def __init__(self, golden: GoldenValues, memory: int) -> None:
        self.golden, self.memory = golden, memory
        self.tables = Tables(golden)
        self._regions: dict[Node, Region | None] = {}
        self._mixings: dict[tuple[Node, frozenset[Node], frozenset[Node]], Mixing | None] = {}

    def starts(self, source: Node, path: Program) -> bool:
        """Return whether a change of one element of `source` can be propagated as tokens."""
        tables = self.tables
        if source not in self.golden.kept or not tables.tabular(source) or len(source.meta["val"].shape) < 3:
            return False
        at_once = self.golden.kept[source].channels_last and path and name_of(path[0][0]) in LAYOUT
        if is_map(source) and not at_once:  # channels that become tokens only later are propagated as a window
            return False
        base = source
        for place, (node, _) in enumerate(path):
            if tables.placing(node) is not None:
                base = node
                continue
            if tables.carries(node, {base}):
                continue
            if tables.row_by_row(node) or self._region(base, path) is not None:
                return True
            return not is_map(base) and find_mixing(tables, path, place, {base}) is not None
        return True

    def follow(
        self, source: Node, path: Program, image_K: Tensor, elements_KP: Tensor, after_KP: Tensor
    ) -> Iterator[Ended]:
        """Give faults whose propagation ends, and their changes there; those without an effect are not given.

        Faults set elements of `source`; -1 pads.
        """
        rows = self._struck(source, image_K, elements_KP, after_KP)
        every_K = torch.arange(len(image_K), device=image_K.device)
        return self._onwards(Ended(every_K, {source: rows}), path, 0, frozenset(), image_K)

    def _onwards(
        self, left: Ended, path: Program, start: int, skipped: frozenset[Node], image_K: Tensor
    ) -> Iterator[Ended]:
        """Propagate changes along a path from one of its places on, and give them where that ends, in groups."""
        last = {used: place for place, (node, _) in enumerate(path) for used in node.all_input_nodes}
        places = {node: place for place, (node, _) in enumerate(path)}
        for place, (node, _) in enumerate(path[start:], start):
            if node in skipped:
                continue
            step = self._step(node, left.changes, path, place)
            if isinstance(step, Region):
                entry = next(rows for rows in left.changes.values() if rows.base is step.entry)
                ended, left = left.divided(widespread(self.tables, step, entry, len(left.faults_K)))
                yield from ended
            if isinstance(step, Mixing) and self.at_once(step.exit) < len(left.faults_K):
                every_K = torch.arange(len(left.faults_K), device=image_K.device)
                for half in every_K.chunk(2):
                    chosen_K = (every_K >= half[0]) & (every_K <= half[-1])
                    for part in left.divided(chosen_K)[0]:
                        yield from self._onwards(part, path, place, skipped, image_K)
                return
            change = self._change(node, step, left, image_K[left.faults_K])
            if change is None:
                break
            if isinstance(step, Region | Mixing):
                skipped |= step.inner
                place = places[step.exit]
            changes = {value: rows for value, rows in left.changes.items() if last.get(value, -1) > place}
            changes[change.base if isinstance(step, Region | Mixing) else node] = change
            left = Ended(left.faults_K, changes)
            count, _ = self.tables.size(change.base)
            if step is None and count > 1 and len(self.tables.sources(node)) > 1:
                rows_K = torch.bincount(change.fault_M, minlength=len(left.faults_K))
                ended, left = left.divided(rows_K > LARGEST_SHARE * count)
                yield from ended
            if not any(len(rows.row_M) for rows in left.changes.values()):
                return
        (*_, left) = left.divided(torch.zeros_like(left.faults_K, dtype=torch.bool))
        if len(left.faults_K):
            yield left

    def at_once(self, node: Node) -> int:
        """Return for how many faults whole tables of a node may be held."""
        rows, columns = self.tables.size(node)
        return max(1, self.memory // (rows * columns * 4))

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
        golden_MC = self.tables.golden_rows(source, image_K[fault_M], row_M)
        assert golden_MC is not None
        delta_MC = torch.zeros_like(golden_MC)
        delta_MC[own_E, column_E] = after_KP[fault_E, place_E] - golden_MC[own_E, column_E]
        return ChangedRows(source, fault_M, row_M, delta_MC)

    def _step(
        self, node: Node, changes: Mapping[Node, ChangedRows], path: Program, place: int
    ) -> ChangedRows | Region | Mixing | None:
        """Return how a change of `node` is found: by its row, its layout, or the region that starts there."""
        tables = self.tables
        moved = {source: changes[source] for source in node.all_input_nodes if source in changes}
        if tables.carries(node, {rows.base for rows in changes.values()}):
            (rows,) = {id(rows): rows for rows in moved.values()}.values()
            return rows
        if tables.row_by_row(node) or tables.placing(node) is not None:
            return None
        bases = {rows.base for rows in moved.values()}
        region = self._region(next(iter(bases)), path) if len(bases) == 1 else None
        return region or self._mixing(node, changes, path, place)

    def _change(
        self, node: Node, step: ChangedRows | Region | Mixing | None, ended: "Ended", image_K: Tensor
    ) -> ChangedRows | None:
        """Return the change of a node, or of a region's exit; None if it cannot be followed."""
        tables, changes = self.tables, ended.changes
        if isinstance(step, ChangedRows):
            moved = [changes[source] for source in node.all_input_nodes if source in changes]
            return moved[0]
        if isinstance(step, Region):
            entry = next(rows for rows in changes.values() if rows.base is step.entry)
            return through(tables, step, entry, image_K)
        if isinstance(step, Mixing):
            bases = {rows.base: rows for rows in changes.values() if rows.base in step.entries}
            return mixed(tables, step, bases, image_K)
        if tables.placing(node) is not None:
            (rows,) = {id(rows): rows for source in node.all_input_nodes if (rows := changes.get(source))}.values()
            return tables.placed(rows, node)
        if not tables.row_by_row(node):
            return None
        count, _ = tables.size(node)
        moved_by = {source: changes[source] for source in node.all_input_nodes if source in changes}
        keys = [tables.moved(rows, source) for source, rows in moved_by.items()]
        key_M = (
            keys[0] if len(keys) == 1 or all(torch.equal(key, keys[0]) for key in keys) else torch.cat(keys).unique()
        )
        fault_M, row_M = key_M // count, key_M % count
        deltas_of = {source: tables.read(rows, source, fault_M, row_M) for source, rows in moved_by.items()}
        delta_MC = tables.changed(node, deltas_of, image_K[fault_M], row_M)
        if delta_MC is None:
            return None
        changed = ChangedRows(node, fault_M, row_M, delta_MC)
        return tables.lasting(changed, image_K) if len(tables.sources(node)) > 1 else changed

    def _region(self, entry: Node, path: Program) -> Region | None:
        if entry not in self._regions:
            self._regions[entry] = find_region(self.tables, path, entry)
        return self._regions[entry]

    def _mixing(self, node: Node, changes: Mapping[Node, ChangedRows], path: Program, place: int) -> Mixing | None:
        """Return the operations from `node` on that mix rows; they depend on what is changed, and on what will be."""
        key = (node, frozenset(rows.base for rows in changes.values()), frozenset(value for value, _ in path))
        if key not in self._mixings:
            self._mixings[key] = find_mixing(self.tables, path, place, key[1])
        return self._mixings[key]
