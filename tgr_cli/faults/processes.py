"""Runs a function on many items in several processes that share this one's memory.

The processes are forked, so they see the model, the images and the golden values of this process without a copy, and
the function need not be picklable; only its results travel. The children of a process that has used several threads may
use one alone: OpenMP's other threads do not exist in them. `one_thread` sees to that, and to equal bits, since some
kernels round differently with another number of threads.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

import torch

from tgr_cli.allocator import release_memory
from tgr_cli.errors import TgrError

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def one_thread() -> Iterator[None]:
    """Context manager: torch computes with one thread, in this process and in those that it forks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def each(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Generator[tuple[Item, Result]]:
    """Yield (item, work(item)) of every item as soon as it is finished: in any order if there are several `jobs`.

    One job, or one item, needs no other process. With several, torch must compute with `one_thread`. An exception of
    `work` is raised here; TgrError if the system kills a process. Once this generator is closed, or has raised, none of
    the processes is left; they also end if this process is killed.
    """
    if min(jobs, len(items)) <= 1:
        yield from ((item, work(item)) for item in items)
        return
    assert torch.get_num_threads() == 1, "forked processes may use one thread"
    workers: list[_Worker] = []
    release_memory()
    try:
        with _interrupts_held():
            for _ in range(min(jobs, len(items))):
                workers.append(_Worker(work))
        waiting = iter(items)
        busy: dict[Any, tuple[_Worker, Item]] = {}
        for worker, item in zip(workers, waiting, strict=False):
            busy[worker.pipe] = (worker, worker.begin(item))
        while busy:
            for pipe in wait(list(busy)):
                worker, item = busy.pop(pipe)
                result = worker.finished()
                for following in waiting:  # before the caller stores the result, so that no process waits for that
                    busy[worker.pipe] = (worker, worker.begin(following))
                    break
                yield item, result
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A forked process that is sent one item at a time."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self._process: ForkProcess = multiprocessing.get_context("fork").Process(
            target=_serve, args=(work, theirs, self.pipe), daemon=True
        )
        with warnings.catch_warnings():
            # From Python 3.12 on; the child uses one thread, and none of the locks of the others.
            warnings.filterwarnings("ignore", message=r".*use of fork\(\) may lead to deadlocks")
            self._process.start()
        theirs.close()  # the child alone holds this end: reading from the other one fails once it is gone

    def begin(self, item: Item) -> Item:
        """Send an item, and return it."""
        try:
            self.pipe.send(item)
        except OSError as error:
            raise self._killed() from error
        return item

    def finished(self) -> Any:
        """Return the result of the item that was sent last; raises what the work on it raised."""
        try:
            failed, result = pickle.loads(self.pipe.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._killed() from error
        if failed is not None:
            raise failed
        return result

    def end(self) -> None:
        """End the process at once: results are stored by this process, so nothing is lost."""
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _killed(self) -> TgrError:
        self._process.join()
        code = self._process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return TgrError(
            f"a process of --jobs {how}, as systems do when memory runs out; what is finished is kept, and the same "
            "command goes on from there: with fewer --jobs, if memory is short"
        )


def _serve(work: Callable[[Any], Any], pipe: Connection, other_end: Connection) -> None:
    """Work on the items that arrive until the process is ended."""
    other_end.close()
    sys.stdout = sys.stderr = sys.__stderr__  # those of a console may wait for a lock that another thread held
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    while True:
        item = pipe.recv()
        try:
            answer = pickle.dumps((None, work(item)))
        except Exception as error:
            answer = pickle.dumps((_sendable(error), None))
        pipe.send_bytes(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _sendable(error: Exception) -> Exception:
    """Return the exception with a note of where it was raised, a RuntimeError in its place if it cannot be sent.

    What the user can fix has no place in the code, and gets no note.
    """
    if isinstance(error, TgrError):
        return error
    where = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception of any class may fail to travel, in any way; its name, text and place do travel
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"raised in a process of --jobs:\n{where}")
    return error


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Context manager: SIGINT waits; processes started within never get it, as only the parent says what was kept."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
