"""Reading an artifact detects every kind of damage and impossible row, with one clear message."""

import io
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tgr_cli.artifacts import store
from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.schemas import EMBEDDINGS, GOLDEN, KINDS, PLAN, RANGES, SHARD, TEXT_EMBEDDINGS, TRAINING
from tgr_cli.errors import TgrError

EXTRA = {"run": "net", "preprocessing": {"crop": 8}, "sites": []}


def rows(schema: Schema) -> dict[str, list[Any]]:
    """Return two rows that satisfy a schema."""
    plain = {pa.string(): ["x", "y"], pa.int64(): [0, 1], pa.float64(): [0.5, 0.25], pa.bool_(): [True, False]}
    plain |= {pa.list_(pa.int64()): [[1], [2]], pa.list_(pa.float32()): [[0.5], [1.0]]}
    found = {column.name: plain[column.type] for column in schema.columns}
    return found | {column.name: list(column.among[1:3]) for column in schema.columns if column.among}


def artifact(path: Path, schema: Schema = RANGES, **changed: list[Any]) -> Path:
    provenance = store.provenance_for(schema, config={"confidence": 0.99}, extra=EXTRA, inputs={"a": "b"})
    return store.write(path, schema, rows(schema) | changed, provenance)


@pytest.mark.parametrize("schema", KINDS.values(), ids=lambda schema: schema.kind)
def test_rows_that_a_schema_allows_are_read(tmp_path: Path, schema: Schema) -> None:
    assert store.read(artifact(tmp_path / "a.parquet", schema), schema).table.num_rows == 2


@pytest.mark.parametrize(
    ("schema", "column", "values", "words"),
    [
        (SHARD, "outcome", ["sdc", "other"], 'outcome is "other" in row 1'),
        (PLAN, "weight", [float("nan"), 1.0], "weight is nan in row 0"),
        (PLAN, "weight", [1.0, -1.0], "weight is -1.0 in row 1"),
        (PLAN, "weight", [1.0, float("inf")], "weight is inf in row 1"),
        (PLAN, "bit", [64, 0], "bit is 64 in row 0"),
        (PLAN, "index", [[0], [1, -2]], "index holds -2"),
        (PLAN, "fault", [-1, 0], "fault is -1 in row 0"),
        (KINDS["vulnerability"], "mean_dloss", [0.5, -0.5], "mean_dloss is -0.5 in row 1"),
        (KINDS["injections"], "dloss", [-1.0, 0.5], "dloss is -1.0 in row 0"),
        (TRAINING, "val_loss", [-1e-3, 0.5], "val_loss is -0.001 in row 0"),
        (GOLDEN, "top1", [0.5, 1.5], "top1 is 1.5 in row 1"),
        (GOLDEN, "label", [-1, 0], "label is -1 in row 0"),
        (GOLDEN, "image_id", ["x", "x"], "two rows have image_id x"),
        (RANGES, "max_abs", [float("nan"), 1.0], "max_abs is nan"),
        (RANGES, "site", ["x", "x"], "two rows have site x"),
        (EMBEDDINGS, "embedding", [[0.5], [0.5, 0.5]], "embedding has lists of 1 and of 2 numbers"),
        (TEXT_EMBEDDINGS, "embedding", [[1.0, 0.0], []], "embedding has lists of 2 and of 0 numbers"),
        (TRAINING, "val_top1", [1.25, 1.0], "val_top1 is 1.25 in row 0"),
        (SHARD, "dloss", [None, 1.0], 'dloss is null in row 0, whose outcome is "sdc"'),
        (SHARD, "outcome", ["non_finite", "sdc"], 'is not null in row 0, whose outcome is "non_finite"'),
    ],
)
def test_a_row_that_no_artifact_holds_is_told(
    tmp_path: Path, schema: Schema, column: str, values: list[Any], words: str
) -> None:
    with pytest.raises(TgrError) as found:
        store.read(artifact(tmp_path / "a.parquet", schema, **{column: values}), schema)
    assert words in str(found.value)
    assert str(found.value).endswith(f'make it with "{schema.command}"')


def test_an_artifact_without_rows_is_told_where_none_is_empty(tmp_path: Path) -> None:
    for schema in KINDS.values():
        path = artifact(tmp_path / "a.parquet", schema, **{column.name: [] for column in schema.columns})
        if schema.may_be_empty:
            assert store.read(path, schema).table.num_rows == 0
        else:
            with pytest.raises(TgrError, match="it has no rows"):
                store.read(path, schema)
        path.unlink()


@pytest.mark.parametrize("facts", [{}, {"macs": None}])
def test_a_fact_that_is_not_there_or_null_is_named_with_the_command_that_makes_it(
    facts: dict[str, Any], tmp_path: Path
) -> None:
    path = artifact(tmp_path / "a.parquet")
    found = store.read(path, RANGES)
    found = replace(found, provenance=replace(found.provenance, extra=facts))
    with pytest.raises(
        TgrError, match=r'a.parquet has no "macs" in its metadata; make it again with "tgr profile-ranges'
    ):
        found.fact("macs")


def test_no_flipped_bit_anywhere_changes_what_is_read(tmp_path: Path) -> None:
    path = artifact(tmp_path / "a.parquet")
    whole, drawn = store.read(path, RANGES), random.Random(5)
    content = path.read_bytes()
    facts = range(content.rindex(b'{"classes"'), content.rindex(b'"version": 1}'))
    for place in [*drawn.sample(facts, 60), *drawn.sample(range(len(content)), 200)]:
        broken = bytearray(content)
        broken[place] ^= 1 << drawn.randrange(8)
        path.write_bytes(broken)
        try:
            found = store.read(path, RANGES)
        except TgrError:
            continue
        assert found.table.equals(whole.table)
        assert found.provenance == whole.provenance
        assert place not in facts


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": {"x": 5}}, "has inputs that are no texts"),
        ({"inputs": [1]}, "lacks inputs of the right type"),
        ({"version": True}, "lacks version of the right type"),
        ({"extra": {"preprocessing": 5}}, "has preprocessing 5"),
        ({"extra": {"sites": 3}}, "has sites 3"),
        ({"extra": {"sites": [{"site": "fc"}]}}, "has sites"),
        ({"extra": {"pilot": -1}}, "has pilot -1"),
        ({"extra": {"shard": ["a", 2]}}, "has shard"),
        ({"config": {"confidence": 1.0}}, "has confidence 1.0"),
        ({"config": {"confidence": 9 * 10**18}}, "has confidence"),
        ({"deep": 5000}, "nested more than 64"),
    ],
)
def test_metadata_of_another_shape_is_told_edited_openly_or_not(
    tmp_path: Path, change: dict[str, Any], words: str, logged: io.StringIO
) -> None:
    path = artifact(tmp_path / "a.parquet")
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[b"tgr"])
    text = json.dumps(facts | change)
    if "deep" in change:
        text = text[:-1] + ', "z": ' + "[" * 5000 + "]" * 5000 + "}"
    pq.write_table(table.replace_schema_metadata(table.schema.metadata | {b"tgr": text.encode()}), path)
    with pytest.raises(TgrError, match="the checksum differs"):
        store.read(path, RANGES)
    pq.write_table(table.replace_schema_metadata({b"tgr": text.encode()}), path)
    with pytest.raises(TgrError) as found:
        store.read(path, RANGES)
    assert words in str(found.value)
    assert "has no checksum over its metadata" in logged.getvalue()


def test_an_artifact_of_an_earlier_tgr_is_read_and_that_is_said(tmp_path: Path, logged: io.StringIO) -> None:
    path = artifact(tmp_path / "a.parquet")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"tgr": table.schema.metadata[b"tgr"]}), path)
    assert store.read(path, RANGES).table.num_rows == 2
    assert "a.parquet has no checksum over its metadata (an earlier tgr wrote it)" in logged.getvalue()


def test_columns_in_another_order_or_of_another_type_are_named(tmp_path: Path) -> None:
    table = pq.read_table(artifact(tmp_path / "a.parquet"))
    kept = {b"tgr": table.schema.metadata[b"tgr"]}
    turned = table.select(table.column_names[::-1]).replace_schema_metadata(kept)
    pq.write_table(turned, tmp_path / "a.parquet")
    with pytest.raises(TgrError, match="differs from ranges in the order of its columns"):
        store.read(tmp_path / "a.parquet", RANGES)
    field = pa.field("min", pa.float32(), nullable=False)
    pq.write_table(table.set_column(1, field, table["min"].cast(pa.float32())), tmp_path / "a.parquet")
    with pytest.raises(TgrError, match="differs from ranges in the type of min"):
        store.read(tmp_path / "a.parquet", RANGES)


def test_what_is_no_file_is_called_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(TgrError, match="is a folder; name a file that tgr wrote"):
        store.describe(tmp_path)
    with pytest.raises(TgrError, match="x does not exist; name a file that tgr wrote"):
        store.describe(tmp_path / "x")
