"""Checks the rows of a table against the constraints in its schema, column by column."""

import pyarrow as pa
import pyarrow.compute as pc

from tgr_cli.artifacts.columns import Column, Schema
from tgr_cli.artifacts.schemas import NOT_FINITE


def first_impossible(table: pa.Table, schema: Schema) -> str:
    """Return a description of the first violation in a table's rows, or "" if there is none.

    Checked are the columns that the table has: whether it may be empty, the values of each column, nulls that must
    coincide with non-finite outcomes, and duplicate keys.
    """
    if table.num_rows == 0:
        return "" if schema.may_be_empty else "it has no rows"
    for column in schema.columns:
        if column.name in table.column_names and (found := _impossible(table[column.name], column)):
            return found
    return _wrong_nulls(table, schema) or _twice(table, schema)


def _impossible(values: pa.ChunkedArray, column: Column) -> str:
    if not column.null and values.null_count:
        return f"{column.name} is null in row {_first(pc.is_null(values))}"
    flat = values
    if pa.types.is_list(column.type):
        flat = pc.list_flatten(values)
        if flat.null_count:
            return f"{column.name} has null in one of its lists"
        lengths = pc.unique(pc.list_value_length(values)) if column.one_length else []
        if len(lengths) > 1:
            return f"{column.name} has lists of {lengths[0]} and of {lengths[1]} numbers"
    if column.among:
        return _report(values, column.name, pc.invert(pc.is_in(flat, value_set=pa.array(column.among))))
    low, high = column.bounds
    bad = None
    if pa.types.is_floating(flat.type) and not column.may_be_nan:
        bad = pc.is_nan(flat)
    for holds, limit in ((pc.less, low), (pc.greater, high)):
        if limit is not None:
            outside = holds(flat, pa.scalar(limit, flat.type))
            bad = outside if bad is None else pc.or_(bad, outside)
    return "" if bad is None else _report(values, column.name, bad)


def _report(values: pa.ChunkedArray, name: str, bad: pa.ChunkedArray) -> str:
    if not pc.any(bad).as_py():
        return ""
    if pa.types.is_list(values.type):
        return f"{name} holds {pc.list_flatten(values)[_first(bad)].as_py()}"
    row = _first(bad)
    found = values[row].as_py()
    shown = f'"{found}"' if isinstance(found, str) else found
    return f"{name} is {shown} in row {row}"


def _wrong_nulls(table: pa.Table, schema: Schema) -> str:
    """Return a value that is missing for a finite outcome, or present for a non-finite one, in words; "" if none."""
    if "outcome" not in table.column_names:
        return ""
    without = pc.equal(table["outcome"], "non_finite")
    for column in schema.columns:
        if column.null == NOT_FINITE and column.name in table.column_names:
            differing = pc.not_equal(pc.is_null(table[column.name]), without)
            if pc.any(differing).as_py():
                row = _first(differing)
                is_null = "is null" if table[column.name][row].as_py() is None else "is not null"
                return f'{column.name} {is_null} in row {row}, whose outcome is "{table["outcome"][row].as_py()}"'
    return ""


def _twice(table: pa.Table, schema: Schema) -> str:
    key = list(schema.key)
    if not key or not set(key) <= set(table.column_names):
        return ""
    counted = table.group_by(key).aggregate([([], "count_all")])
    if counted.num_rows == table.num_rows:
        return ""
    again = counted.filter(pc.greater(counted["count_all"], 1)).slice(0, 1).to_pylist()[0]
    return f"two rows have {' and '.join(f'{name} {again[name]}' for name in key)}"


def _first(where: pa.ChunkedArray) -> int:
    return int(pc.index(where, True).as_py())
