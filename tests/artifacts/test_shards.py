"""Shards are found in folders and by patterns; the command of a missing one is that of another, with its number."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import RANGES, SHARD
from tgr_cli.artifacts.shards import command_for, gather
from tgr_cli.errors import TgrError


def shard(path: Path) -> Path:
    return store.write(path, SHARD, SHARD.arrow.empty_table(), store.provenance_for(SHARD))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of two shards, another artifact, a stranger's table and a note."""
    shard(tmp_path / "injections-1-of-2.parquet")
    shard(tmp_path / "deep" / "injections-2-of-2.parquet")
    store.write(tmp_path / "ranges.parquet", RANGES, RANGES.arrow.empty_table(), store.provenance_for(RANGES))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "images.parquet")
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path


def test_folders_and_patterns_name_the_shards_among_their_files(folder: Path) -> None:
    first, second = folder / "injections-1-of-2.parquet", folder / "deep" / "injections-2-of-2.parquet"
    assert gather([folder]) == [first]
    assert gather([folder, folder / "deep"]) == [first, second]
    assert set(gather([folder / "**" / "*.parquet"])) == {first, second}
    assert gather([folder / "injections-?-of-2.parquet", second]) == [first, second]
    first.with_suffix(".run.json").write_text("{}")  # a record, which lies beside every artifact
    assert gather([folder / "inj*", folder / "de*", first]) == [first, second]
    bracketed = first.rename(folder / "shard[1].parquet")  # a file's own name is no pattern
    assert gather([bracketed]) == [bracketed]


def test_names_without_a_shard_are_refused(folder: Path) -> None:
    with pytest.raises(TgrError, match=r'none.parquet does not exist; run "tgr inject --shard" first'):
        gather([folder / "none.parquet"])
    with pytest.raises(TgrError, match=r"ranges\*.parquet matches no shard among 1 files"):
        gather([folder / "ranges*.parquet"])
    with pytest.raises(TgrError, match=r"x\* matches no shard among 0 files; run"):
        gather([folder / "x*"])
    with pytest.raises(TgrError, match=r"among 0 files, and \[ \] stand for one of these characters; run"):
        gather([folder / "a [b]" / "x*"])
    (empty := folder / "empty").mkdir()
    with pytest.raises(TgrError, match=r"empty holds no shard among 0 files"):
        gather([empty])


def test_a_damaged_file_in_a_folder_is_not_passed_over(folder: Path) -> None:
    whole = folder / "injections-1-of-2.parquet"
    whole.with_name("injections-2-of-2.parquet").write_bytes(whole.read_bytes()[:-9])
    with pytest.raises(TgrError, match=r"injections-2-of-2.parquet is not a whole Parquet file"):
        gather([folder])


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("tgr inject --model m --shard 1/3 --seed 2", "tgr inject --model m --shard 2/3 --seed 2"),
        ("tgr inject --model m --shard=auto/3", "tgr inject --model m --shard=2/3"),
        (
            "tgr inject --out=a/x.parquet --shard auto --label 'my net'",
            "tgr inject --out={folder}/shard-2-of-3.parquet --shard 2/3 --label 'my net'",
        ),
        ("tgr inject --shard 1/3 --out x.parquet", "tgr inject --shard 2/3 --out {folder}/shard-2-of-3.parquet"),
        ("python campaign.py", None),
        (None, None),
    ],
)
def test_the_command_of_a_missing_shard(tmp_path: Path, command: str | None, expected: str | None) -> None:
    path = tmp_path / "x.parquet"
    if command:
        store.run_record(path).write_text(json.dumps({"command": command}))
    assert command_for(path, 2, 3) == (expected and expected.format(folder=tmp_path))


def test_a_record_that_is_no_json_is_named(tmp_path: Path) -> None:
    store.run_record(tmp_path / "x.parquet").write_text("{")
    with pytest.raises(TgrError, match=re.escape("x.run.json")):
        command_for(tmp_path / "x.parquet", 2, 3)
