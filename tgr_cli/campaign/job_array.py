"""Which shard a task of a job array runs, from the variables that its scheduler sets (`--shard auto`)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tgr_cli.errors import TgrError
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True)
class Scheduler:
    """How a scheduler tells a task its place in the array.

    `task` names the variable with the task's number. `first`, `last`, `step` and `size` are numbers, or names of
    variables; None: the scheduler does not tell. `chosen`: whether the user chooses the numbers of the tasks.
    """

    name: str
    task: str
    first: int | str
    last: str | None = None
    step: int | str = 1
    size: str | None = None
    chosen: bool = True


# Sources: the manuals of sbatch, qsub (Grid Engine, PBS Professional, TORQUE) and bsub, and the documentation of
# indexed jobs in Kubernetes, array jobs in AWS Batch, and jobs in Google Cloud's Batch and Cloud Run.
SCHEDULERS = (
    Scheduler(
        "Slurm",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_TASK_MIN",
        last="SLURM_ARRAY_TASK_MAX",
        step="SLURM_ARRAY_TASK_STEP",
        size="SLURM_ARRAY_TASK_COUNT",
    ),
    Scheduler("Grid Engine", "SGE_TASK_ID", "SGE_TASK_FIRST", last="SGE_TASK_LAST", step="SGE_TASK_STEPSIZE"),
    Scheduler("LSF", "LSB_JOBINDEX", 1, last="LSB_JOBINDEX_END", step="LSB_JOBINDEX_STEP"),
    Scheduler("PBS", "PBS_ARRAY_INDEX", 1),
    Scheduler("TORQUE", "PBS_ARRAYID", 1),
    Scheduler("Kubernetes", "JOB_COMPLETION_INDEX", 0, chosen=False),
    Scheduler("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", 0, size="AWS_BATCH_JOB_ARRAY_SIZE", chosen=False),
    Scheduler("Google Cloud Batch", "BATCH_TASK_INDEX", 0, size="BATCH_TASK_COUNT", chosen=False),
    Scheduler("Cloud Run", "CLOUD_RUN_TASK_INDEX", 0, size="CLOUD_RUN_TASK_COUNT", chosen=False),
)
INSTEAD = "write which of how many, as --shard 2/3"
NO_ARRAY = {"SGE_TASK_ID": "undefined", "LSB_JOBINDEX": "0"}  # values outside an array job


def shard_of_this_task(shard: str | None, environ: Mapping[str, str], reporter: Reporter = SILENT) -> str | None:
    """Return `shard` with "auto" and "auto/N" replaced by the shard of this task, as "3/16", and note which it is.

    "auto" takes the number of shards from the scheduler, and needs an array of consecutive tasks from 0 or 1. "auto/N"
    takes only the task's number, so that single tasks can be submitted again; tasks must then be numbered from 1 where
    the scheduler lets the user choose.

    Raises TgrError where no scheduler, several of them, or another array than these is found.
    """
    asked = re.fullmatch(r"auto(?:/([1-9][0-9]{0,8}))?", shard or "")
    if shard is None or asked is None:
        return shard
    scheduler, task = _found(shard, environ)
    number, count = _given(scheduler, task, int(asked[1])) if asked[1] else _told(scheduler, task, environ)
    reporter.note(f"--shard {shard}: shard {number}/{count}, task {task} of the {scheduler.name} job array")
    return f"{number}/{count}"


def _found(shard: str, environ: Mapping[str, str]) -> tuple[Scheduler, int]:
    found = [
        scheduler
        for scheduler in SCHEDULERS
        if scheduler.task in environ and environ[scheduler.task] != NO_ARRAY.get(scheduler.task)
    ]
    if not found:
        names = ", ".join(scheduler.task for scheduler in SCHEDULERS)
        raise TgrError(
            f"--shard {shard} reads the task's number from its scheduler, and none of {names} is set; submit a job "
            f"array, or {INSTEAD}"
        )
    if len(found) > 1:
        names = " and ".join(scheduler.task for scheduler in found)
        raise TgrError(f"--shard {shard} finds {names}; {INSTEAD}")
    return found[0], _number(found[0].task, environ)


def _number(name: str, environ: Mapping[str, str]) -> int:
    text = environ[name]
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise TgrError(f'{name} is "{text}", where --shard auto expects a number; {INSTEAD}')
    return int(text)


def _given(scheduler: Scheduler, task: int, count: int) -> tuple[int, int]:
    first = 1 if scheduler.chosen else 0
    if not first <= task < first + count:
        raise TgrError(
            f"{scheduler.task} is {task}, and --shard auto/{count} is for tasks {first} to {first + count - 1}; number "
            "the tasks of the array so"
        )
    return task - first + 1, count


def _told(scheduler: Scheduler, task: int, environ: Mapping[str, str]) -> tuple[int, int]:
    facts = (scheduler.first, scheduler.last, scheduler.step, scheduler.size)
    first, last, step, size = (_value(fact, environ) for fact in facts)
    for fact, told in zip(facts, (first, last, step, size), strict=True):
        if isinstance(fact, str) and told is None:
            raise TgrError(f"{scheduler.name} sets {fact} in the tasks of an array, and it is not set here; {INSTEAD}")
    if last is None and size is None:
        raise TgrError(
            f"{scheduler.name} does not tell a task how many tasks its array has; write --shard auto/N, as auto/16"
        )
    assert first is not None
    count = size or 0 if last is None else last - first + 1
    if first > 1 or step != 1 or size not in (None, count) or not first <= task < first + count:
        raise TgrError(
            f"task {task} is not of an array of all tasks from 0 or 1 on, as where some are submitted again; write "
            "which shard of how many, as --shard 4/16 (tgr merge names those missing), or number all tasks from 1 and "
            "write --shard auto/16"
        )
    return task - first + 1, count


def _value(fact: int | str | None, environ: Mapping[str, str]) -> int | None:
    if isinstance(fact, str):
        return _number(fact, environ) if fact in environ else None
    return fact
