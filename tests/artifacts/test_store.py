"""Artifacts are written atomically, describe themselves, and are verified on reading."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tgr_cli.artifacts import store
from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.schemas import KINDS, OUTCOMES, RANGES, STATUSES, TRAINING
from tgr_cli.errors import TgrError

ROW = {"site": ["conv1"], "min": [-1.0], "max": [2.0], "max_abs": [2.0], "mean_abs": [0.5]}
ROWS = ROW | {"p99": [1.9], "p99_9": [1.95], "p99_99": [2.0]}
SAMPLE = {pa.string(): "x", pa.int64(): 3, pa.float64(): 0.5, pa.bool_(): True}
SAMPLE |= {pa.list_(pa.int64()): [1, 2], pa.list_(pa.float32()): [0.5]}


def written(path: Path, **facts: object) -> Path:
    return store.write(path, RANGES, ROWS, store.provenance_for(RANGES, **facts))


@pytest.mark.parametrize("schema", KINDS.values(), ids=lambda schema: schema.kind)
def test_every_kind_comes_back_and_opens_in_pandas_polars_and_duckdb(tmp_path: Path, schema: Schema) -> None:
    import duckdb
    import polars as pl

    rows = {column.name: [SAMPLE[column.type], SAMPLE[column.type]] for column in schema.columns}
    rows |= {column.name: ["sdc", "sdc"] for column in schema.columns if column.among == OUTCOMES}
    rows |= {column.name: ["ok", "empty"] for column in schema.columns if column.among == STATUSES}
    if schema.key:
        name = schema.key[-1]
        rows[name] = {str: ["x", "y"], int: [3, 4], float: [0.5, 0.25]}[type(rows[name][0])]
    path = store.write(tmp_path / "a.parquet", schema, rows, store.provenance_for(schema, seed=4))
    artifact = store.read(path, schema)
    assert artifact.table.to_pydict() == rows
    assert artifact.provenance.seed == 4
    assert pd.read_parquet(path).shape == (2, len(schema.columns))
    assert pl.read_parquet(path).to_dict(as_series=False) == rows
    assert duckdb.execute(f"select count(*) from '{path}'").fetchall() == [(2,)]


def test_equal_work_gives_equal_bytes(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a.parquet", seed=1), written(tmp_path / "deep" / "b.parquet", seed=1)
    assert first.read_bytes() == second.read_bytes()
    assert str(tmp_path).encode() not in first.read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet")
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="half way"), store.replacing(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise RuntimeError("half way")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TgrError, match=r"file cannot be written \(.*\); choose another place with --workdir or --out"):
        store.prepare(tmp_path / "file" / "a.parquet")
    with pytest.raises(TgrError, match="is a folder, where a file is to be written"):
        store.prepare(tmp_path)


def foreign(path: Path, metadata: dict[bytes, bytes] | None) -> Path:
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(metadata), path)
    return path


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (None, 'is a Parquet file that tgr did not write; make it with "tgr profile-ranges"'),
        ({b"tgr": b"{"}, "its tgr metadata is not JSON"),
        ({b"tgr": b"[]"}, "its tgr metadata lacks kind"),
        ({b"tgr": b'{"kind": "ranges", "version": "1"}'}, "its tgr metadata lacks version"),
        (
            {b"tgr": b'{"kind": "dreams", "version": 1, "tgr": "9", "config": {}, "inputs": {}}'},
            'is of kind "dreams", which tgr does not know; update tgr to read it',
        ),
        (
            {b"tgr": b'{"kind": "ranges", "version": 99, "tgr": "9", "config": {}, "inputs": {}}'},
            'has version 99 of ranges, this tgr reads 1; make it with "tgr profile-ranges"',
        ),
        (
            {b"tgr": b'{"kind": "ranges", "version": 1, "tgr": "9", "config": {}, "inputs": {}}'},
            "differs from ranges in a, max, max_abs",
        ),
    ],
)
def test_a_foreign_file_is_refused_in_a_sentence(
    tmp_path: Path, metadata: dict[bytes, bytes] | None, sentence: str
) -> None:
    with pytest.raises(TgrError) as error:
        store.read(foreign(tmp_path / "a.parquet", metadata), RANGES)
    assert sentence in str(error.value)


def test_another_kind_is_refused_by_naming_both(tmp_path: Path) -> None:
    with pytest.raises(TgrError, match='is of kind "ranges", where "training" is expected; make it with "tgr train"'):
        store.read(written(tmp_path / "a.parquet"), TRAINING)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(TgrError, match=r'a\.parquet does not exist; run "tgr profile-ranges" first'):
        store.read(tmp_path / "a.parquet", RANGES)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = written(tmp_path / "a.parquet")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(TgrError, match="is not a whole Parquet file"):
        store.read(path, RANGES)


def test_a_flipped_bit_in_the_values_is_refused(tmp_path: Path) -> None:
    rows = {name: np.random.default_rng(0).random(500) for name in ROWS} | {"site": ["conv1"] * 500}
    path = store.write(tmp_path / "a.parquet", RANGES, rows, store.provenance_for(RANGES))
    content, chunk = path.read_bytes(), pq.read_metadata(path).row_group(0).column(1)
    middle = chunk.dictionary_page_offset + chunk.total_compressed_size // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(TgrError, match="is damaged and cannot be read"):
        store.read(path, RANGES)


def test_a_file_damaged_within_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet")
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(bytes(content))
    with pytest.raises(TgrError, match="is damaged and cannot be read"):
        store.read(path, RANGES)
