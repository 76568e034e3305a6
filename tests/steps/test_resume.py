"""Interrupted campaigns: finished units are kept, damaged ones run again, and the result is the same byte for byte; two

processes never share an output.
"""

import errno
import os
import signal
import sys
from hashlib import sha256
from pathlib import Path

import killing
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from filelock import FileLock
from processes import Running
from toys import write_toy_dataset
from toys_artifacts import invoke
from toys_parts import PARTS, RUN, TOY, Killed, failing_after, outputs

from tgr_cli import app
from tgr_cli.artifacts.parts import content
from tgr_cli.errors import TgrError


@pytest.fixture(autouse=True)
def _toy() -> None:
    write_toy_dataset(Path("toy"))


def undisturbed(*more: str) -> dict[str, bytes]:
    invoke("inject", *TOY, *more)
    assert not PARTS.exists()
    found = outputs()
    for name in found:
        (RUN / f"{name}.parquet").unlink()
    return found


def main(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(sys, "argv", ["tgr", "inject", *TOY, *arguments])
    with pytest.raises(SystemExit) as left:
        app.main()
    return left.value.code


def test_a_killed_process_leaves_its_parts_and_nothing_in_the_way() -> None:
    expected = undisturbed()
    for replacements in (7, 8):  # while writing a part, and while writing vulnerability
        done = Running(killing.tgr_after, replacements, "inject", *TOY).wait()
        assert done.code == -signal.SIGKILL, done.err
        assert list(PARTS.glob(".*.tmp")) or list(RUN.glob(".*.tmp"))
    assert (RUN / "injections.parquet").exists()
    assert not (RUN / "vulnerability.parquet").exists()
    assert "180 of 180 faults were finished before and are kept" in invoke("inject", *TOY).stderr
    assert outputs() == expected
    assert not PARTS.exists()
    assert not list(RUN.glob(".*"))


@pytest.mark.parametrize("sampling", ["importance", "stratified"])
def test_units_that_are_finished_are_kept_and_damaged_ones_run_again(
    sampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--sampling", sampling, "--injections", "64", *(("--pilot", "64") if sampling == "stratified" else ()))
    expected = undisturbed(*more)
    for units in (3, 5, 4):  # a stratified campaign's pilot has 12 units of its own
        with monkeypatch.context() as patch:
            failing_after(units, Killed(), patch)
            with pytest.raises(Killed):
                invoke("inject", *TOY, *more)
        parts = sorted(PARTS.glob("*-0*.parquet"))
        for part, spoilt in ((parts[1], b"short"), (parts[-1], parts[-1].read_bytes()[:40] + b"x" * 999)):
            part.write_bytes(spoilt)
    told = invoke("inject", *TOY, *more).stderr
    assert " faults were finished before and are kept" in told
    assert outputs() == expected


def test_a_forecast_discards_no_finished_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        failing_after(4, Killed(), patch)
        with pytest.raises(Killed):
            invoke("inject", *TOY)
    kept = sorted(PARTS.glob("unit-*.parquet"))
    with pytest.raises(TgrError, match="keeps a campaign that was begun with plan_only False, but True now; give the"):
        invoke("inject", *TOY, "--plan-only", "--out", str(RUN / "injections.parquet"))
    assert sorted(PARTS.glob("unit-*.parquet")) == kept


def test_damaged_parts_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        failing_after(4, Killed(), patch)
        with pytest.raises(Killed):
            invoke("inject", *TOY)
    part = sorted(PARTS.glob("unit-*.parquet"))[1]
    part.write_bytes(part.read_bytes()[:-9])
    assert f"damaged, and run again: {part.name}\n" in invoke("inject", *TOY).stderr


def test_parts_of_other_units_are_run_again_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = undisturbed()
    with monkeypatch.context() as patch:
        failing_after(4, Killed(), patch)
        with pytest.raises(Killed):
            invoke("inject", *TOY)
    first, second, third = sorted(PARTS.glob("unit-*.parquet"))[:3]
    first.write_bytes(second.read_bytes())
    other = third.with_name(third.name.replace(third.name.split("-")[1], second.name.split("-")[1]))
    third.rename(other)
    told = invoke("inject", *TOY).stderr
    assert first.name in told
    assert outputs() == expected
    assert not PARTS.exists()


def test_ctrl_c_says_what_is_kept_and_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        failing_after(4, KeyboardInterrupt(), patch)
        assert main(monkeypatch=patch) == 130
    err = capsys.readouterr().err
    assert f" of 180 faults are finished and kept in {PARTS}; the same command goes on from there\n" in err
    kept = int(err.split(" of 180 faults")[0].split()[-1])
    assert 0 < kept < 180
    assert f"{kept} of 180 faults were finished before and are kept\n" in invoke("inject", *TOY).stderr


def test_a_full_disk_is_told_and_leaves_the_finished_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = undisturbed()
    write_bytes, written = Path.write_bytes, []

    def full(path: Path, content: bytes) -> int:
        if len(written) == 5:
            write_bytes(path, content[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        return write_bytes(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert main("-q", monkeypatch=patch) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"tgr: {PARTS}/unit-")
    assert err.endswith(".parquet could not be written (No space left on device); free the place and run again\n")
    assert err.count("\n") == 1
    assert len(list(PARTS.glob("unit-*.parquet"))) == 5
    assert not list(PARTS.glob(".*"))
    invoke("inject", *TOY)
    assert outputs() == expected


def test_parts_of_another_campaign_are_refused_until_they_are_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        failing_after(4, Killed(), patch)
        with pytest.raises(Killed):
            invoke("inject", *TOY)
    for changed, words in (
        (("--injections", "61"), "injections 60, but 61 now"),
        (("--seed", "1", "--engine", "full"), "seed 0, but 1, engine auto, but full now"),
        (("--shard", "1/2", "--out", str(RUN / "injections.parquet")), "shard None, but 1/2 now"),
    ):
        with pytest.raises(TgrError, match=rf"parts keeps a campaign that was begun with {words}; give the same"):
            invoke("inject", *TOY, *changed)
    (PARTS / "plan.parquet").write_bytes(b"")
    with pytest.raises(TgrError, match=r"plan.parquet is damaged, and the parts beside it rest on it; discard them wi"):
        invoke("inject", *TOY)
    assert len(list(PARTS.glob("unit-*.parquet"))) == 4
    told = invoke("inject", *TOY, "--injections", 61, "--restart").stderr
    assert "were finished before" not in told
    assert not PARTS.exists()


def test_a_second_process_on_the_same_output_refuses() -> None:
    PARTS.mkdir(parents=True)
    with (
        FileLock(PARTS / "lock"),
        pytest.raises(TgrError, match=rf"another process is writing {RUN}/inj"),
    ):
        invoke("inject", *TOY)
    invoke("inject", *TOY)


def test_neither_batch_size_nor_threads_move_a_plan_or_an_outcome() -> None:
    found, before = [], torch.get_num_threads()
    try:
        for size, threads in ((8, 1), (64, 1), (8, 2), (64, 2)):
            torch.set_num_threads(threads)
            options = ("--sampling", "uniform", "--batch-size", size, "--memory", "1GiB")
            invoke("inject", *TOY, *options, "--out", "x.parquet")
            found.append(pq.read_table("x.parquet"))
    finally:
        torch.set_num_threads(before)
    for table in found[1:]:
        for name in ("fault", "site", "index", "bit", "image_id", "weight", "outcome", "faulty_label"):
            assert table[name] == found[0][name], name


def test_a_finished_part_that_was_edited_and_named_anew_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        failing_after(2, Killed(), patch)
        with pytest.raises(Killed):
            invoke("inject", *TOY)
    part = sorted(PARTS.glob("unit-*.parquet"))[0]
    whole = pq.read_table(part)
    place = whole.column_names.index("outcome")
    edited = {
        "keeps other faults under unit 0": whole.set_column(
            whole.column_names.index("bit"), whole.schema.field("bit"), pc.subtract(31, whole["bit"]).cast(pa.int64())
        ),
        "keeps other faults under": whole.set_column(place, "outcome", whole["outcome"].cast(pa.large_string())),
        'under unit 0: outcome is "x" in row 0; discard it with': whole.set_column(
            place, whole.schema.field("outcome"), pa.array(["x"] * len(whole))
        ),
    }
    for words, table in edited.items():
        part.unlink()
        written = content(table)
        part = PARTS / f"unit-000000-{sha256(written).hexdigest()}.parquet"
        part.write_bytes(written)
        with pytest.raises(TgrError, match=f"{words}.*--restart"):
            invoke("inject", *TOY)
