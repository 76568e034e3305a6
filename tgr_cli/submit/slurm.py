"""Runs tasks as jobs of Slurm: shards as a job array of the script that --print prints.

Jobs are found by their name in the queue, so none is lost or submitted twice when the command that submitted it is
killed. Neither accounting nor pickled functions are needed, as with the package submitit.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from getpass import getuser
from pathlib import Path

from tgr_cli.artifacts import store
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.submit.division import Task
from tgr_cli.submit.runner import Runner
from tgr_cli.submit.script import for_output

PROGRAMS = ("sbatch", "squeue", "scancel")
# Reasons for which a job waits until somebody changes it or the cluster, from the manual of squeue.
STUCK = re.compile("Held|Never|BadConstraints|PartitionConfig|Partition(Node|Time)Limit|Invalid(Account|QOS)", re.I)
UNREACHABLE = 30  # looks at the queue that may fail in a row before that is told


class Slurm(Runner):
    """Submits the script that `script_of` returns for a name, as `path`, with the word "plan" or "shard".

    The jobs are called NAME-plan and NAME-shard.
    """

    pause, settling, outlives = 5.0, 30.0, True

    def __init__(self, path: Path, script_of: Callable[[str], str], reporter: Reporter) -> None:
        super().__init__(reporter)
        self._script, self._script_of = path, script_of
        self._name = ""
        self._unanswered = 0
        self._alive: dict[int, str] | None = None  # the last answer, of all tasks
        self._told: set[str] = set()

    def refuse(self) -> None:
        if absent := [program for program in PROGRAMS if shutil.which(program) is None]:
            raise TgrError(
                f"--slurm needs {' and '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not on PATH; run "
                "this on a login node of the cluster, or write the script with --print and submit it there"
            )
        answer = _run("squeue", "--noheader", "--user", getuser())
        if answer.returncode:
            raise TgrError(f"--slurm cannot reach the controller: {_told(answer)}; see whether squeue answers")

    def begin(self, name: str) -> None:
        self._name = name
        with store.replacing(self._script) as temporary:
            temporary.write_text(self._script_of(name), encoding="utf-8")

    def alive(self, tasks: Collection[Task]) -> Mapping[int, str]:
        answer = self._asked()
        while answer.returncode:  # a busy controller: nothing is known, so nothing has changed
            self._unanswered += 1
            if self._unanswered % UNREACHABLE == 0:
                self.reporter.note(f"squeue does not answer: {_told(answer)}; waiting for it")
            if self._alive is not None:
                return self._of(tasks)
            time.sleep(self.pause)  # what an earlier command has submitted must be known before anything is
            answer = self._asked()
        self._unanswered = 0
        self._alive, reasons = {}, {}
        for line in answer.stdout.splitlines():
            name, index, state, reason = line.strip().split("|")
            number = 0 if name.endswith("-plan") else int(index)
            self._alive[number], reasons[number] = state.lower(), reason
        for task in tasks:
            self._tell_if_stuck(task, reasons.get(task.number, ""))
        return self._of(tasks)

    def _asked(self) -> subprocess.CompletedProcess[str]:
        names = f"{self._name}-plan,{self._name}-shard"
        return _run(
            "squeue", *("--noheader", "--array", "--user", getuser(), "--name", names, "--format", "%j|%K|%T|%r")
        )

    def _of(self, tasks: Collection[Task]) -> dict[int, str]:
        known = self._alive or {}
        return {task.number: known[task.number] for task in tasks if task.number in known}

    def start(self, tasks: Sequence[Task]) -> Sequence[Task]:
        shards = [task for task in tasks if task.number]
        if len(shards) < len(tasks):
            plan = next(task for task in tasks if not task.number)
            self._submit("plan", for_output(plan.log.parent.absolute(), plan.log.name), "the plan")
        if shards:
            numbers = ranges([task.number for task in shards])
            log = for_output(shards[0].log.parent.absolute(), "shard-%a.log")
            what = f"{len(shards):,} shards" if len(shards) > 1 else shards[0].label
            self._submit("shard", log, what, "--array", numbers)
        self._alive = {**(self._alive or {}), **{task.number: "pending" for task in tasks}}
        return tasks

    def _submit(self, stage: str, log: str, what: str, *more: str) -> None:
        words = ("--parsable", "--job-name", f"{self._name}-{stage}", "--output", log, *more)
        answer = _run("sbatch", *words, str(self._script.absolute()), stage)
        if answer.returncode:
            told = _told(answer)
            fewer = ", with fewer --shards than MaxArraySize in scontrol show config" if "array spec" in told else ""
            raise TgrError(
                f"sbatch refuses {what}: {told}; change the options of tgr submit{fewer}, or those of --sbatch"
            )
        self.reporter.note(f"submitted {what} as Slurm job {answer.stdout.strip().partition(';')[0]}")

    def cancel(self, tasks: Collection[Task]) -> None:
        for stage in ("plan", "shard"):
            answer = _run("scancel", "--user", getuser(), "--name", f"{self._name}-{stage}")
            if answer.returncode:
                raise TgrError(f"scancel refuses: {_told(answer)}; jobs are called {self._name}-{stage}")

    def _tell_if_stuck(self, task: Task, reason: str) -> None:
        """Note a job that waits for a person: held, or for something that never comes."""
        if STUCK.search(reason) and reason not in self._told:
            self._told.add(reason)
            self.reporter.note(
                f"{task.label} waits in the queue: {reason}; release it with scontrol, or end it with --cancel and "
                "give other options"
            )


def ranges(numbers: Sequence[int]) -> str:
    """Return numbers as Slurm's --array spells them.

    >>> ranges([1, 2, 3, 7, 9, 10])
    '1-3,7,9-10'
    """
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def _told(answer: subprocess.CompletedProcess[str]) -> str:
    lines = (answer.stderr or answer.stdout).strip().splitlines()
    return lines[-1] if lines else f"it ended with exit code {answer.returncode}"
