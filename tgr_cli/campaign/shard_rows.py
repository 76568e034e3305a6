"""The rows of finished units, put into the order of the plan."""

import pyarrow as pa
import pyarrow.compute as pc

from tgr_cli.artifacts.schemas import INJECTIONS


def in_order(table: pa.Table) -> pa.Table:
    """Return SHARD rows in plan order and in one chunk, so that equal rows are written as equal bytes."""
    return table.take(pc.sort_indices(table["row"])).combine_chunks()


def injections(table: pa.Table) -> pa.Table:
    """Return the INJECTIONS columns of SHARD rows."""
    return table.select(INJECTIONS.arrow.names)
