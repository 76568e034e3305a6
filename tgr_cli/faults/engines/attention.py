"""Windowed attention: recomputes only the groups of tokens that contain a change.

A region between two tables that mixes rows only within groups can be run on any number of groups. A mask may depend on
the group's position, so a changed group is run at its own position in the batch; the faults of all images are packed
together.

Suffixes: P pairs of fault and group, B images run, G groups of an image, S rows of a group, C columns, M rows.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults.engines.golden_values import Part
from tgr_cli.faults.engines.tokens import LAYOUT, ChangedRows, Tables
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
    if exit_node is None:
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


def through(tables: Tables, region: Region, rows: ChangedRows, image_K: Tensor) -> ChangedRows | None:
    """Return the changed rows of the region's exit, or None if more than `LARGEST_SHARE` of the groups changed."""
    count, groups = len(image_K), region.groups
    in_rows, in_columns = tables.size(region.entry)
    out_rows, out_columns = tables.size(region.exit)
    in_size, out_size = in_rows // groups, out_rows // groups
    if not len(rows.row_M):
        return ChangedRows(region.exit, rows.fault_M, rows.row_M, rows.values_MC.new_empty((0, out_columns)))
    pair_P = (rows.fault_M * groups + rows.row_M // in_size).unique()
    if len(pair_P) > LARGEST_SHARE * count * groups:
        return None
    fault_P, group_P = pair_P // groups, pair_P % groups
    steps = torch.arange(in_size, device=pair_P.device)
    fault_M = fault_P.repeat_interleave(in_size)
    row_M = (group_P[:, None] * in_size + steps).reshape(-1)
    values = tables.read(rows, region.entry, image_K, fault_M, row_M)
    if values is None:
        return None
    order_P = group_P.argsort(stable=True)
    sizes_G = torch.bincount(group_P, minlength=groups)
    nth_P = torch.empty_like(order_P)
    starts_G = sizes_G.cumsum(0) - sizes_G
    nth_P[order_P] = torch.arange(len(order_P), device=order_P.device) - starts_G[group_P[order_P]]
    x_BGE = values.new_zeros(int(sizes_G.max()), groups, in_size * in_columns)
    x_BGE[nth_P, group_P] = values.view(len(pair_P), -1)
    out_PE = _run(tables, region, x_BGE)[nth_P, group_P]
    steps = torch.arange(out_size, device=pair_P.device)
    return ChangedRows(
        region.exit,
        fault_P.repeat_interleave(out_size),
        (group_P[:, None] * out_size + steps).reshape(-1),
        out_PE.reshape(-1, out_columns),
    )
