"""Tasks are seen through: what their logs say counts for this submission alone."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.reporting import SILENT
from tgr_cli.submit import watch
from tgr_cli.submit.division import Task
from tgr_cli.submit.runner import Runner

FAILED = "tgr: 1 of 3 faults gives another outcome\n"


class Nothing(Runner):
    """Runs nothing."""

    pause, settling, outlives = 0.0, 0.0, False

    def refuse(self) -> None: ...

    def alive(self, tasks: Collection[Task]) -> Mapping[int, str]:
        return {}

    def start(self, tasks: Sequence[Task]) -> Sequence[Task]:
        raise AssertionError("the task is finished")

    def cancel(self, tasks: Collection[Task]) -> None: ...


@pytest.mark.parametrize("later", [1, -1])
def test_a_failure_that_is_older_than_the_output_is_of_an_earlier_start(later: int) -> None:
    task = Task(1, "shard 1/2", (), Path("shard-1.parquet"), Path("shard-1.log"))
    task.output.touch()
    task.log.write_text(FAILED)
    os.utime(task.output, (1000, 1000))
    os.utime(task.log, (1000 - later, 1000 - later))
    left: list[int] = []

    def finish() -> None:
        watch.finish([task], Nothing(SILENT), retries=1, progress=lambda tasks, states: left.extend(tasks))

    if later > 0:
        finish()
        assert left == []
    else:
        with pytest.raises(
            TgrError, match=r"^shard 1/2 failed: 1 of 3 .* \(log: .*\); remove shard-1.parquet to run it "
        ):
            finish()
