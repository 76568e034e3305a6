"""`--shard auto`: the shard of a task, from the variables that schedulers set."""

import re

import pytest

from tgr_cli.campaign.job_array import shard_of_this_task
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter


def slurm(task: int, first: int, last: int, step: int = 1, count: int | None = None) -> dict[str, str]:
    facts = {"ID": task, "MIN": first, "MAX": last, "STEP": step, "COUNT": count or (last - first) // step + 1}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in facts.items()}


def grid_engine(task: object, last: int, step: int = 1) -> dict[str, str]:
    return {"SGE_TASK_ID": str(task), "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": str(last), "SGE_TASK_STEPSIZE": str(step)}


@pytest.mark.parametrize(
    ("asked", "environ", "shard"),
    [
        (None, slurm(3, 1, 16), None),
        ("2/3", slurm(3, 1, 16), "2/3"),
        ("auto", slurm(16, 1, 16), "16/16"),
        ("auto", slurm(0, 0, 15), "1/16"),
        ("auto", slurm(15, 0, 15), "16/16"),
        ("auto/16", slurm(7, 7, 7), "7/16"),  # one task submitted again
        ("auto", grid_engine(4, 8), "4/8"),
        ("auto", {"LSB_JOBINDEX": "5", "LSB_JOBINDEX_END": "9", "LSB_JOBINDEX_STEP": "1"}, "5/9"),
        ("auto/8", {"PBS_ARRAY_INDEX": "8"}, "8/8"),
        ("auto/8", {"PBS_ARRAYID": "1"}, "1/8"),
        ("auto/4", {"JOB_COMPLETION_INDEX": "3"}, "4/4"),
        ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "10"}, "1/10"),
        ("auto", {"BATCH_TASK_INDEX": "9", "BATCH_TASK_COUNT": "10"}, "10/10"),
        ("auto", {"CLOUD_RUN_TASK_INDEX": "1", "CLOUD_RUN_TASK_COUNT": "2", "LSB_JOBINDEX": "0"}, "2/2"),
    ],
)
def test_the_shard_of_a_task(asked: str | None, environ: dict[str, str], shard: str | None) -> None:
    assert shard_of_this_task(asked, environ) == shard


@pytest.mark.parametrize("first", [0, 1])
def test_the_tasks_of_an_array_run_every_shard_once(first: int) -> None:
    tasks = range(first, first + 12)
    shards = [shard_of_this_task("auto", slurm(task, tasks[0], tasks[-1])) for task in tasks]
    assert shards == [f"{number}/12" for number in range(1, 13)]


def test_which_shard_was_taken_is_said() -> None:
    said: list[str] = []

    class Heard(Reporter):
        def note(self, text: str) -> None:
            said.append(text)

    shard_of_this_task("auto", slurm(3, 0, 15), Heard())
    assert said == ["--shard auto: shard 4/16, task 3 of the Slurm job array"]


@pytest.mark.parametrize(
    ("asked", "environ", "words"),
    [
        ("auto", {}, "none of SLURM_ARRAY_TASK_ID, SGE_TASK_ID"),
        ("auto", grid_engine("undefined", 1), "none of SLURM_ARRAY_TASK_ID"),
        (
            "auto",
            {"PBS_ARRAY_INDEX": "2"},
            "PBS does not tell a task how many tasks its array has; write --shard auto/N",
        ),
        ("auto", slurm(7, 7, 7), "task 7 is not of an array of all tasks from 0 or 1 on"),
        ("auto", slurm(7, 1, 7, count=3), "task 7 is not of an array"),  # --array 1,5,7
        ("auto", slurm(3, 1, 7, step=2), "task 3 is not of an array"),
        ("auto", grid_engine(3, 7, step=2), "task 3 is not of an array"),
        ("auto/16", slurm(0, 0, 15), "SLURM_ARRAY_TASK_ID is 0, and --shard auto/16 is for tasks 1 to 16"),
        ("auto/4", {"JOB_COMPLETION_INDEX": "4"}, "JOB_COMPLETION_INDEX is 4, and --shard auto/4 is for tasks 0 to 3"),
        (
            "auto",
            {"SLURM_ARRAY_TASK_ID": "1"},
            "Slurm sets SLURM_ARRAY_TASK_MIN in the tasks of an array, and it is not",
        ),
        ("auto", {"SGE_TASK_ID": "1", "SGE_TASK_LAST": "4", "SGE_TASK_STEPSIZE": "1"}, "sets SGE_TASK_FIRST in"),
        ("auto/4", {"PBS_ARRAY_INDEX": "x"}, 'PBS_ARRAY_INDEX is "x", where --shard auto expects a number'),
        ("auto/4", {"PBS_ARRAY_INDEX": "-1"}, 'PBS_ARRAY_INDEX is "-1", where --shard auto expects a number'),
        ("auto/4", {"PBS_ARRAY_INDEX": "9" * 5000}, "where --shard auto expects a number"),
        ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "3", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, "task 3 is not of an array"),
        ("auto", slurm(1, 1, 2) | {"JOB_COMPLETION_INDEX": "0"}, "finds SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX"),
    ],
)
def test_an_array_that_does_not_tell_the_shard_is_refused(asked: str, environ: dict[str, str], words: str) -> None:
    with pytest.raises(TgrError, match=re.escape(words)):
        shard_of_this_task(asked, environ)
