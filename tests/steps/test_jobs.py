"""Campaigns run by several processes: the same bytes for any number, whatever happens on the way."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import write_toy_dataset
from toys_artifacts import invoke
from toys_parts import MODEL, PARTS, TOY, Killed, failing_after, outputs

from tgr_cli.campaign import running
from tgr_cli.errors import TgrError
from tgr_cli.faults import units

HERE = os.getpid()
Struck = Callable[[int], None]


@pytest.fixture(autouse=True)
def _toy() -> None:
    write_toy_dataset(Path("toy"))


def watching(watch: Struck, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call `watch` with the number of faults before each unit is struck, in the process that strikes it."""
    strike: Callable[..., Any] = units.strike

    def watched(engine: Any, faults: Any, *rest: Any) -> Any:
        watch(len(faults))
        return strike(engine, faults, *rest)

    monkeypatch.setattr(units, "strike", watched)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ("--sampling importance --injections 24", (1, 0, 3)),
        ("--sampling stratified --target-ci sdc=0.2 --pilot 64 --max-injections 80", (2,)),
        ("--target weight --images-per-fault 4 --injections 8 --verify 5 --shard 1/2", (2,)),
    ],
)
def test_any_number_of_processes_writes_the_bytes_of_one(
    options: str, numbers: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = [option for option in TOY if option not in ("--injections", "60")]
    monkeypatch.setattr(running, "cores", lambda: 2)

    def rows(*jobs: object) -> tuple[bytes, set[int], str]:
        with monkeypatch.context() as patch:
            watching(lambda _: Path(f"{os.getpid()}.pid").touch(), patch)
            told = invoke("inject", *toy, *options.split(), "--out", "x.parquet", *jobs).stderr
        pids = {int(path.stem) for path in Path().glob("*.pid")}
        for path in Path().glob("*.pid"):
            path.unlink()
        return Path("x.parquet").read_bytes(), pids, told

    expected, pids, _ = rows()
    assert pids == {HERE}
    for jobs in numbers:
        written, pids, told = rows("--jobs", jobs)
        assert written == expected
        assert pids == {HERE} if jobs == 1 else len(pids - {HERE}) >= 2
        assert ("--jobs 3 is more than the cores here, 2, which makes nothing faster\n" in told) == (jobs == 3)


def test_a_killed_process_is_told_and_any_number_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    invoke("inject", *TOY)
    expected, threads = outputs(), torch.get_num_threads()

    def third(_: int) -> None:
        if os.getpid() != HERE and len(list(PARTS.glob("unit-*.parquet"))) >= 4:
            os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        watching(third, patch)
        with pytest.raises(TgrError, match="a process of --jobs was killed by SIGKILL, as systems do when memory runs"):
            invoke("inject", *TOY, "--jobs", 2, "--restart")
    assert torch.get_num_threads() == threads
    assert not multiprocessing.active_children()
    assert len(list(PARTS.glob("unit-*.parquet"))) >= 4
    assert "faults were finished before and are kept" in invoke("inject", *TOY, "--jobs", 3).stderr
    assert outputs() == expected


def test_an_error_or_an_interruption_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(faults: int) -> None:
        raise TgrError(f"no {faults}")

    with monkeypatch.context() as patch:
        watching(fails, patch)
        with pytest.raises(TgrError, match=r"^no \d+$"):
            invoke("inject", *TOY, "--jobs", 2)
    assert not multiprocessing.active_children()
    with monkeypatch.context() as patch:
        failing_after(2, Killed(), patch)
        with pytest.raises(Killed):
            invoke("inject", *TOY, "--jobs", 2)
        assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            "--jobs 2 --device cuda",
            "--jobs shares a model .* --device is cuda, .* leave --jobs out, or give each device",
        ),
        ("--jobs 2 --device cuda:1", "--device is cuda:1"),
        ("--jobs 2 --exhaustive last", "--jobs does nothing beside --exhaustive"),
        ("--jobs 2 --surface int8", "--jobs does nothing beside --surface"),
        ("--jobs 2 --replay 0", "--jobs does nothing beside --replay"),
        ("--jobs 2 --plan-only", "--jobs does nothing beside --plan-only without a pilot"),
    ],
)
def test_processes_that_could_not_help_are_refused(options: str, words: str) -> None:
    with pytest.raises(TgrError, match=words):
        invoke("inject", *MODEL.split(), *options.split())


def test_processes_without_shared_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tgr_cli.campaign.config.sys.platform", "darwin")
    with pytest.raises(TgrError, match="--jobs needs processes that share their memory with this one, which only Lin"):
        invoke("inject", *TOY, "--jobs", 2)
