"""The script of a divided campaign, for bash or as a job array of Slurm: what is submitted, and what --print prints."""

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from tgr_cli.submit.division import Division
from tgr_cli.submit.runner import PROGRAM, Resources

TASK = "\0"  # stands for the number of the task until the words are quoted
HERE = """
plan
for task in $(seq {count}); do shard "$task" & running+=($!); done
for process in "${{running[@]}}"; do wait "$process"; done # ends with the code of a shard that failed
merge
"""
ON_SLURM = """
case ${{1:-all}} in
    plan) plan ;;
    shard) shard "$SLURM_ARRAY_TASK_ID" ;;
    merge) merge ;;
    all) # on the login node: submits everything
        {plan}shards=$(sbatch --parsable {after_plan}--array 1-{count} --output {log} "$0" shard)
        sbatch --dependency "afterok:$shards" --output {merge_log} "$0" merge
        ;;
esac
"""
PLAN_JOB = """plan=$(sbatch --parsable --output {log} "$0" plan)
        """


def for_slurm(division: Division, out: Path, name: str, resources: Resources, folder: Path) -> str:
    """Return an sbatch script with the stages plan, shard and merge; without one, it submits all three.

    `folder` is the one to work in, and `name` that of the jobs.
    """
    tail = ON_SLURM.format(
        count=division.count,
        plan=PLAN_JOB.format(log=shlex.quote(for_output(division.folder, "plan.log"))) if division.plan_task else "",
        after_plan='--dependency "afterok:$plan" ' if division.plan_task else "",
        log=shlex.quote(for_output(division.folder, "shard-%a.log")),
        merge_log=shlex.quote(for_output(division.folder, "merge.log")),
    )
    head = [f"#SBATCH {option}" for option in directives(name, resources)]
    threads = "export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}\n"
    return _script(division, out, folder, head=head, threads=threads, tail=tail)


def for_output(folder: Path, name: str) -> str:
    """Return the path of a log for sbatch's --output, where %a is a task's number, and %% a percent sign."""
    return f"{str(folder).replace('%', '%%')}/{name}"


def for_processes(division: Division, out: Path, threads: int | None, folder: Path) -> str:
    """Return a script that runs the whole campaign here, with all shards side by side in the background."""
    each = f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{threads or 1}}}\n"
    return _script(division, out, folder, head=[], threads=each, tail=HERE.format(count=division.count))


def directives(name: str, resources: Resources) -> list[str]:
    """Return the options of sbatch; those that the user passes on come last, and win."""
    given = {
        "cpus-per-task": resources.cpus,
        "gpus": resources.gpus,
        "mem": resources.mem,
        "time": resources.time,
        "partition": resources.partition,
        "account": resources.account,
    }
    chosen = [f"--{option}={value}" for option, value in given.items() if value is not None]
    return [f"--job-name={name}", "--requeue", "--open-mode=append", *chosen, *resources.sbatch]


def _script(division: Division, out: Path, folder: Path, *, head: Iterable[str], threads: str, tail: str) -> str:
    plan = division.plan_task
    merge = ("merge", str(division.folder), "--out", str(out))
    lines = [
        "#!/usr/bin/env bash",
        *head,
        f"# A campaign in {division.count:,} shards. A killed task goes on where it was when it is started again.",
        "set -euo pipefail",
        f"cd {shlex.quote(str(folder))}",
        f"mkdir -p {shlex.quote(str(division.folder))}",
        f"{threads}",
        f'tgr() {{ {quoted(PROGRAM)} "$@"; }}',
        f"plan() {{ {f'tgr {quoted(plan.words)}' if plan else ':'}; }}",
        f"shard() {{ tgr {quoted(division.shard_words(TASK)).replace(TASK, '$1')}; }}",
        f"merge() {{ tgr {quoted(merge)}; }}",
    ]
    return "\n".join(lines) + "\n" + tail


def quoted(words: Sequence[str]) -> str:
    """Return words for a shell; TASK is left in place, where a variable may stand."""
    return " ".join(_double_quoted(word) if TASK in word else shlex.quote(word) for word in words)


def _double_quoted(word: str) -> str:
    return '"' + re.sub(r'([\\"$`])', r"\\\1", word) + '"'
