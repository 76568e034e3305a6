"""What runs the tasks of a campaign: the interface of processes here, Slurm and Ray."""

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.submit.division import Task

ARRAY = re.compile(r"-a|--array\b")
# Run the installed package, whatever a file in the current folder is called; -P leaves that folder out of the path.
PROGRAM = (sys.executable, "-P", "-m", "tgr_cli")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one task gets; None leaves it to the scheduler. `cpus` are also the threads that it computes with."""

    cpus: int | None = None
    gpus: int | None = None
    mem: str | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None
    sbatch: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("mem", "time", "partition", "account", "sbatch"):
            given = getattr(self, name)
            for value in given if isinstance(given, tuple) else filter(None, [given]):
                if not value.isprintable():
                    raise TgrError(f"--{name} is {value!r}, where one line is expected; write it without line breaks")
        for option in self.sbatch:
            if not option.startswith("-"):
                raise TgrError(
                    f'--sbatch is "{option}", where an option of sbatch is expected, as --sbatch="--qos=long"'
                )
            if ARRAY.match(option):
                raise TgrError(
                    f'--sbatch is "{option}", and tgr submit numbers the tasks itself; give it --shards instead'
                )


class Runner(ABC):
    """Runs tasks somewhere. It keeps no list of its own: which tasks run is asked of the system each time.

    `pause` is in seconds between two looks. `settling` is how long a task may have left the queue before its file is
    seen here, in seconds: network file systems show files late. `outlives` says whether tasks go on when the command
    that started them ends.
    """

    pause: float
    settling: float
    outlives: bool

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter

    @abstractmethod
    def refuse(self) -> None:
        """Raise TgrError if nothing can be started here, as without the scheduler's programs."""

    def begin(self, name: str) -> None:  # noqa: B027
        """Prepare to run the tasks of the campaign that schedulers know by this name; called before the others."""

    @abstractmethod
    def alive(self, tasks: Collection[Task]) -> Mapping[int, str]:
        """Return the state, such as "running" or "pending", of those tasks that have been started and not ended."""

    @abstractmethod
    def start(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Start as many of these tasks as there is room for, none of them alive, and return those."""

    @abstractmethod
    def cancel(self, tasks: Collection[Task]) -> None:
        """End those of the tasks that are alive; what they have finished is kept."""
