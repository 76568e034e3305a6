"""Attention: recomputes only the groups of tokens that contain a change, and drops the tokens that stay as they were.

A region between two tables that mixes rows only within groups can be run on any number of groups. A mask may depend on
the group's position, so a changed group is run at its own position in the batch; the faults of all images are packed
together. Global attention is one group: it is run for all tokens, but what follows only for those that have changed.

Suffixes: K faults, P pairs of fault and group, B images run, G groups of an image, S rows of a group, C columns,
M rows, R rows of an image's table.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults.engines.engine import padded
from tgr_cli.faults.engines.golden_values import Part
from tgr_cli.faults.engines.layouts import LAYOUT
from tgr_cli.faults.engines.tokens import ChangedRows, Tables
from tgr_cli.faults.operation_names import name_of
from tgr_cli.faults.program import Program

LARGEST_SHARE = 0.5


@dataclass(frozen=True)
class Region:
    """The operations from the table of `entry` to that of `exit`, independent for each of `groups` groups of rows."""

    entry: Node
    exit: Node
    groups: int
    part: Part

    @property
    def inner(self) -> set[Node]:
        return {node for node, _ in self.part.program}


def find_region(tables: Tables, path: Program, entry: Node) -> Region | None:
    """Return the region of `path` from `entry` to the next table, if it mixes rows only within groups, else None."""
    golden, affected = tables.golden, tables.golden.network.downstream({entry}) - {entry}
    nodes = [node for node, _ in path if node in affected]
    last = {used: place for place, node in enumerate(nodes) for used in node.all_input_nodes}
    open_nodes, computes, exit_node = {entry}, False, None
    for place, node in enumerate(nodes):
        computes |= name_of(node) not in LAYOUT
        open_nodes = {value for value in (*open_nodes, node) if last.get(value, -1) > place}
        if computes and open_nodes == {node} and tables.tabular(node):
            exit_node = node
            break
    if exit_node is None or not golden.lies_first(entry) or not golden.lies_first(exit_node):
        return None
    part = golden.part({exit_node}, {entry})
    shape = entry.meta["val"].shape
    leading = shape[0] // golden.network.batch_size if shape[0] > golden.network.batch_size else shape[1]
    groups = int(leading)
    if part.gathers or part.reshaping is None or groups < 2 or tables.size(exit_node)[0] % groups:
        return None
    region = Region(entry, exit_node, groups, part)
    return region if _keeps_apart(tables, region) else None


def _keeps_apart(tables: Tables, region: Region) -> bool:
    """Return, by experiment, whether each group of the exit depends on the same group of the entry only.

    Two group numbers differ in at least one bit. For each bit, the groups with that bit set get NaN, then those with it
    clear; NaN must appear in exactly these groups.
    """
    golden, groups = tables.golden, torch.arange(region.groups)
    patterns = [groups >> bit & 1 == side for bit in range((region.groups - 1).bit_length()) for side in (0, 1)]
    tainted_BG = torch.stack(patterns)
    shape = region.entry.meta["val"].shape
    x_BGE = torch.ones(len(patterns), region.groups, math.prod(shape) // (region.groups * golden.network.batch_size))
    x_BGE[tainted_BG] = math.nan
    out = _run(tables, region, x_BGE.to(golden.network.device, golden.network.dtype))
    return torch.equal(out.isnan().any(dim=2).cpu(), tainted_BG)


def _run(tables: Tables, region: Region, x_BGE: Tensor) -> Tensor:
    """Return the exit [B, G, S·C] for entries [B, G, S·C], for any number of images."""
    shape = region.entry.meta["val"].shape
    images = len(x_BGE)
    source = x_BGE.reshape(images * shape[0] // tables.golden.network.batch_size, *shape[1:])
    nobody_B = torch.zeros(images, dtype=torch.int64, device=source.device)
    result: Tensor = tables.golden.run(region.part, nobody_B, {region.entry: source})[region.exit]
    return result.reshape(images, region.groups, -1)


def widespread(tables: Tables, region: Region, rows: ChangedRows, count: int) -> Tensor:
    """Return which of `count` faults have changed more than `LARGEST_SHARE` of the groups, bool [K]."""
    pair_P = _pairs(tables, region, rows)
    return torch.bincount(pair_P // region.groups, minlength=count) > LARGEST_SHARE * region.groups


def _pairs(tables: Tables, region: Region, rows: ChangedRows) -> Tensor:
    size = tables.size(region.entry)[0] // region.groups
    return (rows.fault_M * region.groups + rows.row_M // size).unique()


def through(tables: Tables, region: Region, rows: ChangedRows, image_K: Tensor) -> ChangedRows | None:
    """Return the changed rows of the region's exit; None if its golden values are not at hand.

    The changed groups are run beside the same groups without the fault, as the rounding of both is then alike.
    """
    groups = region.groups
    in_rows, in_columns = tables.size(region.entry)
    out_rows, out_columns = tables.size(region.exit)
    in_size, out_size = in_rows // groups, out_rows // groups
    if not len(rows.row_M):
        return ChangedRows(region.exit, rows.fault_M, rows.row_M, rows.delta_MC.new_empty((0, out_columns)))
    pair_P = _pairs(tables, region, rows)
    fault_P, group_P = pair_P // groups, pair_P % groups
    steps = torch.arange(in_size, device=pair_P.device)
    fault_M = fault_P.repeat_interleave(in_size)
    row_M = (group_P[:, None] * in_size + steps).reshape(-1)
    golden_MC = tables.golden_rows(region.entry, image_K[fault_M], row_M)
    if golden_MC is None:
        return None
    faulty_MC = golden_MC + tables.read(rows, region.entry, fault_M, row_M)
    order_P = group_P.argsort(stable=True)
    sizes_G = torch.bincount(group_P, minlength=groups)
    nth_P = torch.empty_like(order_P)
    starts_G = sizes_G.cumsum(0) - sizes_G
    nth_P[order_P] = torch.arange(len(order_P), device=order_P.device) - starts_G[group_P[order_P]]
    deep = int(sizes_G.max())
    x_BGE = golden_MC.new_zeros(2 * deep, groups, in_size * in_columns)
    x_BGE[nth_P, group_P] = faulty_MC.view(len(pair_P), -1)
    x_BGE[deep + nth_P, group_P] = golden_MC.view(len(pair_P), -1)
    out_BGE = _run(tables, region, x_BGE)
    out_MC, before_MC = (out_BGE[nth, group_P].reshape(-1, out_columns) for nth in (nth_P, deep + nth_P))
    steps = torch.arange(out_size, device=pair_P.device)
    changed = ChangedRows(
        region.exit,
        fault_P.repeat_interleave(out_size),
        (group_P[:, None] * out_size + steps).reshape(-1),
        out_MC - before_MC,
    )
    return changed.where(changed.delta_MC.count_nonzero(dim=1) > 0)


@dataclass(frozen=True)
class Mixing:
    """The operations from the tables of `entries` to that of `exit`, in which any row may depend on any other."""

    entries: tuple[Node, ...]
    exit: Node
    before: Part
    part: Part

    @property
    def inner(self) -> set[Node]:
        return {node for node, _ in self.part.program}


def find_mixing(tables: Tables, path: Program, place: int, changed: Collection[Node]) -> Mixing | None:
    """Return the operations of `path` from `place` on to the next table, which alone is read by those after them.

    `changed` are the tables in which faults have changed rows.
    """
    golden = tables.golden
    last = {used: at for at, (node, _) in enumerate(path) for used in node.all_input_nodes}
    inner, computes = set[Node](), False
    for at, (node, _) in enumerate(path[place:], place):
        if at > place and inner.isdisjoint(node.all_input_nodes):
            continue
        inner.add(node)
        computes |= name_of(node) not in LAYOUT
        if computes and tables.tabular(node) and all(last.get(value, -1) <= at for value in inner - {node}):
            break
    else:
        return None
    if node not in golden.kept:
        return None
    affected, entries = {value for value, _ in path}, set[Node]()
    for source in {source for value in inner for source in value.all_input_nodes} - inner:
        base = tables.base(source) or source
        if base in changed:
            entries.add(base)
        elif source in affected:
            return None  # what faults make of it is found later
    part = golden.part({node}, entries)
    return Mixing(tuple(entries), node, golden.part(entries), part)


def mixed(tables: Tables, mixing: Mixing, changes: Mapping[Node, ChangedRows], image_K: Tensor) -> ChangedRows:
    """Return the changed rows of the exit for faults that changed some rows of the entries."""
    golden, count = tables.golden, len(image_K)
    touched_K = torch.zeros(count, dtype=torch.bool, device=image_K.device)
    for changed in changes.values():
        touched_K[changed.fault_M] = True
    found = list[tuple[Tensor, Tensor, Tensor]]()
    for some in touched_K.nonzero().flatten().split(golden.network.batch_size):
        image_B = padded(image_K[some], golden.network.batch_size)
        before = golden.run(mixing.before, image_B)
        part = [changed.take(some, count) for changed in changes.values()]
        after = golden.run(mixing.part, image_B, tables.laid(part, before))[mixing.exit]
        was_BRC, is_BRC = (tables.by_rows(mixing.exit, value) for value in (golden.rows(mixing.exit, image_B), after))
        delta_BRC = (is_BRC - was_BRC)[: len(some)]
        fault_M, row_M = delta_BRC.any(dim=2).nonzero(as_tuple=True)
        found.append((some[fault_M], row_M, delta_BRC[fault_M, row_M]))
    if not found:
        _, columns = tables.size(mixing.exit)
        first = next(iter(changes.values()))
        return ChangedRows(mixing.exit, first.fault_M, first.row_M, first.delta_MC.new_empty((0, columns)))
    fault_M, row_M, delta_MC = (torch.cat(parts) for parts in zip(*found, strict=True))
    return ChangedRows(mixing.exit, fault_M, row_M, delta_MC)
