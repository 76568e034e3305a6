"""Several processes that share one's memory: every result once, errors as in one process, and nobody left behind."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from processes import Running

from tgr_cli.errors import TgrError
from tgr_cli.faults import processes

HERE = os.getpid()


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    with processes.one_thread():
        yield
    assert not multiprocessing.active_children()


def test_every_item_is_finished_once_in_as_many_processes_as_it_takes() -> None:
    model, items = torch.nn.Linear(64, 64), list(range(7))

    def work(item: int) -> tuple[int, float]:
        time.sleep(0.02)
        return os.getpid(), model.weight.sum().item() * item

    for jobs, several in ((1, 1), (3, 3), (50, 7)):
        found = list(processes.each(work, items, jobs))
        assert sorted(item for item, _ in found) == items
        pids = {pid for _, (pid, _) in found}
        assert len(pids) == several
        assert (HERE in pids) == (several == 1)
        for item, (_, value) in found:
            assert value == model.weight.sum().item() * item
    assert [pid for _, (pid, _) in processes.each(work, items[:1], 4)] == [HERE]
    assert not list(processes.each(work, [], 4))


class OddError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (TgrError("element 9 does not exist"), TgrError, "^element 9 does not exist$"),
        (MemoryError("too much"), MemoryError, "too much"),
        (OddError("not", "picklable"), RuntimeError, "OddError: not picklable"),
    ],
)
def test_an_error_of_one_process_is_raised_here_with_its_place(
    error: Exception, kind: type[Exception], words: str
) -> None:
    def work(item: int) -> int:
        if item == 2:
            raise error
        return item

    with pytest.raises(kind, match=words) as raised:
        list(processes.each(work, range(9), 2))
    notes = "".join(getattr(raised.value, "__notes__", []))
    assert ("in work" in notes) == (kind is not TgrError)


def test_a_result_that_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(Exception, match="pickle"):
        list(processes.each(lambda item: lambda: item, range(3), 2))


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (
            lambda: os.kill(os.getpid(), signal.SIGKILL),
            "a process of --jobs was killed by SIGKILL, .* with fewer --jobs",
        ),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "a process of --jobs was killed by SIGTERM"),
        (lambda: os._exit(7), "a process of --jobs ended with exit code 7"),
    ],
)
def test_a_process_that_ends_is_told(end: object, words: str) -> None:
    def work(item: int) -> int:
        if item == 3 and callable(end):
            end()
        return item

    done = []
    with pytest.raises(TgrError, match=words):
        done.extend(processes.each(work, range(50), 2))


def test_no_process_outlives_a_caller_that_stops() -> None:
    def work(item: int) -> int:
        time.sleep(0 if item == 0 else 60)
        return item

    begun = time.monotonic()
    some = processes.each(work, range(4), 4)
    assert next(some) == (0, 0)
    some.close()
    assert time.monotonic() - begun < 10


def killed_in_the_middle() -> None:
    """Run two endless items, and SIGKILL this process once both have begun."""

    def work(item: int) -> None:
        if item == 0:  # with the others at work
            while len(list(Path().glob("*.pid"))) < 2:
                time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGKILL)
        Path(f"{os.getpid()}.pid").touch()
        time.sleep(60)

    torch.set_num_threads(1)
    list(processes.each(work, range(3), 3))


def test_the_processes_of_a_killed_process_end() -> None:
    assert Running(killed_in_the_middle).wait().code == -signal.SIGKILL
    pids = [int(path.stem) for path in Path().glob("*.pid")]
    assert len(pids) >= 2
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):
        assert time.monotonic() < until, "still running"
        time.sleep(0.02)


def test_threads_are_given_back() -> None:
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError), processes.one_thread():
        assert torch.get_num_threads() / 0
    assert torch.get_num_threads() == 2
