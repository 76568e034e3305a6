"""The examples: .ci/examples runs them, or their commands are run elsewhere; and what they promise of exit codes."""

import os
import subprocess
from pathlib import Path

import pytest

from tgr_cli.steps import demo

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


Done = subprocess.CompletedProcess[str]


def run(script: str, *arguments: str, code: int = 0, **environment: str) -> tuple[Done, list[list[str]]]:
    """Run a script with a `tgr` that only notes its arguments and ends with `code`; return them command by command."""
    Path("bin").mkdir()
    noted = Path("commands").resolve()
    noted.touch()
    (stand_in := Path("bin/tgr")).write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {noted}\nexit {code}\n')
    stand_in.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    kept["PATH"] = os.pathsep.join((str(stand_in.parent.resolve()), kept["PATH"]))
    command = ["bash", str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept | environment)
    return done, [line.split() for line in noted.read_text().splitlines()]


def test_the_comparison_of_heads_is_the_demo_command_by_command() -> None:
    """test_demo runs these very commands."""
    done, commands = run("compare_heads.sh")
    assert done.returncode == 0
    assert commands == [[*stage.arguments, "--dataset", "digits"] for stage in demo.stages(4096)]


@pytest.mark.parametrize(
    ("code", "words"), [(0, "the gate is passed"), (3, "the gate is not passed"), (1, "no whole campaign")]
)
def test_the_gate_ends_with_the_campaigns_exit_code_and_says_what_it_means(code: int, words: str) -> None:
    done, ((command, *options),) = run("gate.sh", code=code, MAX_SDC_RATE="0.01")
    assert done.returncode == code
    assert words in done.stderr
    assert command == "inject"
    assert options[-3:] == ["--max-sdc-rate", "0.01", "--json"]


def test_the_job_array_runs_every_shard_of_one_plan_once() -> None:
    done, (plan, *shards, merge) = run("job_array.sh", TASKS="3")
    assert done.returncode == 0
    assert plan[-3:] == ["--plan-only", "--out", "plan.parquet"]
    assert sorted(shard[-6:] for shard in shards) == [
        ["--plan", "plan.parquet", "--shard", f"{n}/3", "--out", f"shard-{n}.parquet"] for n in (1, 2, 3)
    ]
    assert merge == ["merge", "shard-1.parquet", "shard-2.parquet", "shard-3.parquet", "--out", "merged.parquet"]


def test_a_task_of_an_array_takes_its_shard_from_its_number() -> None:
    done, ((*_, out),) = run("job_array.sh", "shard", TASKS="8", SLURM_ARRAY_TASK_ID="5")
    assert (done.returncode, out) == (0, "shard-5.parquet")


def test_a_shard_without_a_number_is_refused() -> None:
    done, commands = run("job_array.sh", "shard")
    assert (done.returncode, commands) == (1, [])
    assert "run this as a task of a job array" in done.stderr


def test_a_shard_that_fails_ends_the_array_before_it_is_merged() -> None:
    done, commands = run("job_array.sh", code=1)
    assert done.returncode == 1
    assert not [command for command in commands if command[0] == "merge"]


def test_every_example_is_explained_and_run() -> None:
    explained = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    checked = (ROOT / ".ci" / "examples").read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        if path.suffix not in (".py", ".sh"):
            continue
        assert f"]({path.name})" in explained, f"examples/README.md does not tell of {path.name}"
        runs = checked + "".join(other.read_text(encoding="utf-8") for other in EXAMPLES.glob("*.sh"))
        assert path.name in runs, f".ci/examples does not run {path.name}"
        assert path.suffix == ".py" or os.access(path, os.X_OK)
