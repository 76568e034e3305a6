"""Campaigns as tasks: killed anywhere and given again, the merged bytes are those of one run."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
import submitting
from toys import write_toy_dataset
from toys_artifacts import invoke
from toys_submitted import CAMPAIGN, KEPT, OUTPUTS, RUN, SHARDS, Divided, end_stopped, has_ended, outputs, wait_for

import tgr_cli
from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import PLAN
from tgr_cli.errors import TgrError
from tgr_cli.faults import units
from tgr_cli.paths import place, remove_folder
from tgr_cli.submit import folder as folder_of_shards
from tgr_cli.submit import local, ray_node, ray_tasks, slurm, watch
from tgr_cli.submit.division import Division
from tgr_cli.submit.progress import Progress


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Divided:
    """Run a campaign whole; then in two processes, one killed, one stopped, by a command that is killed; then again."""
    folder = tmp_path_factory.mktemp("submit")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as at_end:
        patch.chdir(folder)
        write_toy_dataset(Path("toy"))
        invoke(*CAMPAIGN, "--quiet")
        whole = outputs()
        for name in OUTPUTS:
            (RUN / name).unlink()
        at_end.callback(end_stopped, folder / SHARDS / "shard-1.running")
        submitting.DOOMED.write_text("2/2")
        submitting.STOPPED.write_text("1/2")
        running = submitting.submit("--local", "2", *CAMPAIGN, log=Path("first.txt"))
        wait_for(lambda: not submitting.STOPPED.exists() and has_ended(2))
        running.kill()
        first = Path("first.txt").read_text()
        stopped = int((SHARDS / "shard-1.running").read_text())
        patch.setattr(local, "launch", submitting.launch)

        def wait(seconds: float) -> None:  # called once what runs was looked for
            os.kill(stopped, signal.SIGCONT)
            pause(submitting.MOMENT)

        pause = time.sleep
        patch.setattr(watch.time, "sleep", wait)
        patch.setattr(folder_of_shards, "clear", lambda folder: folder.rename(KEPT))
        second = invoke("submit", "--local", "2", *CAMPAIGN).stderr
        merged = outputs()
    return Divided(folder, whole, merged, first, second)


def test_a_killed_task_is_started_again(divided: Divided) -> None:
    assert "shard 2/2 was killed" in divided.first
    assert "; started again, 1 of at most 3 times\n" in divided.first
    kept = (divided.folder / KEPT / "shard-2.log").read_text()
    assert re.search(r"^\d+ of \d+ faults were finished before and are kept$", kept, re.MULTILINE)


def test_a_killed_command_finds_its_tasks_again(divided: Divided) -> None:
    assert divided.second.startswith("already running, and waited for: shard 1/2\n")
    assert "was killed" not in divided.second
    assert "were finished before" not in (divided.folder / KEPT / "shard-1.log").read_text()


def test_the_merged_bytes_are_those_of_one_run(divided: Divided) -> None:
    assert divided.merged == divided.whole
    record = json.loads((divided.folder / RUN / "injections.run.json").read_text())
    assert record["artifact"] == "injections.parquet"
    assert record["options"]["local"] == {"value": 2, "from": "command line"}


@pytest.mark.parametrize("count", [2, 5, 13])
def test_progress_counts_the_units_that_each_shard_runs(count: int, divided: Divided) -> None:
    plan = divided.folder / KEPT / "plan.parquet"
    read = store.read(plan, PLAN)
    unit_F, sites = read.column("unit"), len(read.fact("sites"))
    of_each = [len(units.of_shard(unit_F, sites, number, count)) for number in range(1, count + 1)]
    said: list[tuple[int, int]] = []
    reporter = SimpleNamespace(progress=lambda what, done, total, detail: said.append((done, total)))
    division = Division((), plan.parent, count)
    progress = Progress(division, reporter)  # type: ignore[arg-type]
    progress.begin()
    for task in division.shards:
        unwritten = replace(task, output=Path("unwritten.parquet"))
        progress.of_shards({task.number: unwritten}, {})
    assert said == [(12 - own, 12) for own in of_each]


OTHERS = {
    "--local 2 {} --seed 4": "injections.shards holds shards of a campaign with seed 3, but 4 now; give the same ",
    "--local 3 {}": "injections.shards holds shards of a campaign with shards 2, but 3 now; give the same options to ",
    "--local 2 {} --train-data parquet:toy": "'parquet:toy'. now; give the same options to go on",
    "--local 2 {} --limit zero": "injections.parquet holds a campaign with --limit clamp, and this one has --limit ",
}


def test_what_is_finished_is_not_run_again(divided: Divided, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(divided.folder)
    monkeypatch.setattr(local, "launch", None)
    shutil.copytree(KEPT, SHARDS)
    for other, told in OTHERS.items():
        with pytest.raises(TgrError, match=told):
            invoke("submit", *other.format(" ".join(CAMPAIGN)).split())
    Path(SHARDS, "notes.txt").touch()
    printed = invoke("submit", "--local", "2", *CAMPAIGN, "--json")
    assert json.loads(printed.stdout)["faults"] == 180
    assert outputs() == divided.whole
    assert [path.name for path in SHARDS.iterdir()] == ["notes.txt"]


def test_an_output_in_a_store_has_its_folder_in_the_current_one(
    divided: Divided, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "launch", None)
    Path("toy").symlink_to(divided.folder / "toy")
    out = place("memory://box/x.parquet")
    shards = Path(f"x-{sha256(str(out).encode()).hexdigest()[:8]}.shards")
    shutil.copytree(divided.folder / KEPT, shards)
    whole = (shards / "shard-1-of-2.parquet").read_bytes()
    (shards / "shard-1-of-2.parquet").write_bytes(whole[:-9])
    with pytest.raises(
        TgrError, match=r"shard-1-of-2.parquet is damaged, .*; remove it, and the same command makes it"
    ):
        invoke("submit", "--local", "2", *CAMPAIGN, "--out", out)
    (shards / "shard-1-of-2.parquet").write_bytes(whole)
    invoke("submit", "--local", "2", *CAMPAIGN, "--out", out)
    assert out.read_bytes() == divided.whole["injections.parquet"]
    assert not shards.exists()
    remove_folder(out.parent)


REFUSED = {
    "--local 2 evaluate --model x": '"evaluate" follows the options of tgr submit, where inject and its options are ',
    "{} --local 2": "--local is an option of tgr submit; write it before the word inject",
    "{}": "no place is given, where one of --local N, --slurm and --ray ADDRESS is expected; give one",
    "--local 2 --slurm {}": "--local and --slurm are given, where one of --local N, --slurm and --ray ADDRESS is ",
    "--slurm {}": "--slurm needs --shards N, the number of tasks to divide the campaign into; give it",
    "--ray auto {}": "--ray needs --shards N, the number of tasks to divide the campaign into; give it",
    "--local 2 --gpus 1 --partition a {}": "--gpus and --partition do nothing beside --local; leave them out",
    "--slurm --shards 2 --working-dir . {}": "--working-dir does nothing beside --slurm; leave it out",
    "--local 2 {} --shard 1/2": "--shard cannot be submitted: tgr submit numbers the shards itself",
    "--local 2 {} --shard auto": "--shard cannot be submitted: tgr submit numbers the shards itself",
    "--local 2 {} --plan-only": "--plan-only cannot be submitted: tgr submit draws the plan itself",
    "--local 2 {} --restart": "--restart cannot be submitted: each start of a shard would discard what is finished; ",
    "--local 2 {} --max-sdc-rate 0.1": "--max-sdc-rate cannot be submitted: a gate judges a whole campaign; run tgr ",
    "--local 2 inject --model toys:build_toy --replay 3": "--replay cannot be submitted: no shard does it; leave it ",
    "--local 2 {} --nodes 3": "--nodes does nothing without --plan-only; leave it out",
    "--local 2 {} --plan nowhere.parquet": "--plan nowhere.parquet does not exist",
    "--local 2 --cancel {}": "injections.shards does not exist, so nothing of this campaign was submitted; give its ",
    "--local 2 --print --cancel {}": "--print and --cancel are given, and only one of them can be done; leave one out",
    "--ray auto --shards 2 --print {}": "--ray has no script to print: its tasks send their parts to this command; ",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_submitted_is_refused_before_anything_is(line: str, divided: Divided) -> None:
    Path("toy").symlink_to(divided.folder / "toy")
    with pytest.raises(TgrError) as refused:
        invoke("submit", *line.format(" ".join(CAMPAIGN)).split())
    assert REFUSED[line] in str(refused.value)
    assert not Path("runs").exists()


def test_without_the_programs_or_the_package_of_a_cluster_nothing_is_submitted(
    divided: Divided, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("toy").symlink_to(divided.folder / "toy")
    monkeypatch.setenv("PATH", "nowhere")
    with pytest.raises(
        TgrError, match=r"^--slurm needs sbatch and squeue and scancel, which are not on PATH; run this on"
    ):
        invoke("submit", "--slurm", "--shards", "2", *CAMPAIGN)
    monkeypatch.setattr(ray_tasks, "find_spec", lambda name: "there")
    for address, told in (("127.0.0.1:1", "reaches no Ray cluster: .*refused"), ("ray://a:1", "is for Ray's client")):
        with pytest.raises(TgrError, match=f"^--ray {address} {told}"):
            invoke("submit", "--ray", address, "--shards", "2", *CAMPAIGN)
    monkeypatch.setattr(ray_tasks, "find_spec", lambda name: None)
    with pytest.raises(TgrError, match=r"^--ray needs the package ray; run: pip install 'tgr\[ray\]'"):
        invoke("submit", "--ray", "auto", "--shards", "2", *CAMPAIGN)
    assert not Path("runs").exists()


def test_a_task_that_ends_in_an_error_is_not_started_again(divided: Divided, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def fails(words: list[str], log: Path, held: int, environment: dict[str, str]) -> SimpleNamespace:
        started.append(words[-1])
        log.write_text(last[len(started) - 1])
        return SimpleNamespace(pid=os.getpid(), poll=lambda: None)

    last = ("", "Traceback …\nKeyError: 3\n", "note\ntgr: the weights do not fit\n")
    Path("toy").symlink_to(divided.folder / "toy")
    monkeypatch.setattr(local, "launch", fails)
    monkeypatch.setattr(local.Local, "pause", 0)
    with pytest.raises(TgrError, match=r"^the plan failed: the weights do not fit \(log: .*shards/plan.log\)$"):
        invoke("submit", "--local", "2", *CAMPAIGN)
    assert started == [str(SHARDS / "plan.parquet")] * 3
    started.clear()
    with pytest.raises(TgrError, match=r"^the plan was killed 2 times before it was finished \(the .*: KeyError: 3"):
        invoke("submit", "--local", "2", "--retries", "1", *CAMPAIGN)


STUBS = {
    # The first job array leaves shard 2 out, as if it were killed.
    "sbatch": """echo "$@" >> calls
for stage; do :; done
if [ "$stage" = plan ]; then cp "$STORE/plan.parquet" "$FOLDER"
elif [ -f "$FOLDER/shard-1-of-2.parquet" ]; then cp "$STORE/shard-2-of-2.parquet" "$FOLDER"
else cp "$STORE/shard-1-of-2.parquet" "$FOLDER"
fi
wc -l < calls""",
    "squeue": 'echo "$@" >> asked',
    "scancel": "",
}


def test_slurm_is_given_a_plan_and_an_array_and_again_what_was_killed(
    divided: Divided, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("toy").symlink_to(divided.folder / "toy")
    Path("bin").mkdir()
    for name, text in STUBS.items():
        program = Path("bin", name)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{Path('bin').absolute()}:{os.environ['PATH']}")
    monkeypatch.setenv("STORE", str(divided.folder / KEPT))
    monkeypatch.setenv("FOLDER", str(SHARDS))
    monkeypatch.setattr(folder_of_shards, "clear", lambda folder: None)
    monkeypatch.setattr(slurm.Slurm, "settling", 0)
    monkeypatch.setattr(slurm.Slurm, "pause", 0)
    resources = ["--cpus", "4", "--time", "01:00:00", "--partition", "long", "--sbatch=--qos=high"]
    told = invoke("submit", "--slurm", "--shards", "2", *resources, *CAMPAIGN).stderr
    assert outputs() == divided.whole
    lines = told.splitlines()
    assert lines[:4] == [
        "submitted the plan as Slurm job 1",
        "submitted 2 shards as Slurm job 2",
        "shard 2/2 was killed; started again, 1 of at most 3 times",
        "submitted shard 2/2 as Slurm job 3",
    ]
    name = json.loads((SHARDS / "submission.json").read_text())["name"]
    here = SHARDS.absolute()
    assert Path("calls").read_text().splitlines() == [
        f"--parsable --job-name {name}-plan --output {here}/plan.log {here}/campaign.sh plan",
        f"--parsable --job-name {name}-shard --output {here}/shard-%a.log --array 1-2 {here}/campaign.sh shard",
        f"--parsable --job-name {name}-shard --output {here}/shard-%a.log --array 2 {here}/campaign.sh shard",
    ]
    assert f"--name {name}-plan,{name}-shard --format %j|%K|%T|%r" in Path("asked").read_text()
    printed = invoke("submit", "--slurm", "--shards", "2", *resources, "--print", *CAMPAIGN).stdout
    assert printed == (SHARDS / "campaign.sh").read_text().replace(name, "tgr")
    for option in ("cpus-per-task=4", "time=01:00:00", "partition=long", "qos=high", "requeue"):
        assert f"\n#SBATCH --{option}\n" in printed
    assert '--shard "$1/2"' in printed


def test_the_printed_script_runs_plan_shards_and_merge(divided: Divided) -> None:
    Path("toy").symlink_to(divided.folder / "toy")
    workdir = "$a 'b"
    printed = invoke("submit", "--local", "2", "--print", *CAMPAIGN, "--workdir", workdir).stdout
    assert not Path(workdir).exists()
    shown = printed.replace("\ntgr() {", "\nignored() {")  # print the words instead of running tgr
    ran = subprocess.run(["bash", "-c", f'tgr() {{ (IFS="|"; echo "$*"); }}\n{shown}'], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    folder = f"{workdir}/toy/toys-build_toy-baseline/injections.shards"
    plan, *shards, merge = ran.stdout.splitlines()
    assert plan.startswith("inject|--model|toys:build_toy|")
    assert plan.endswith(f"|--workdir|{workdir}|--plan-only|--out|{folder}/plan.parquet")
    for number, line in enumerate(sorted(shards, key=lambda line: line.split("|")[-3]), 1):
        end = f"|--plan|{folder}/plan.parquet|--shard|{number}/2|--out|{folder}/shard-{number}-of-2.parquet"
        assert line == plan.removesuffix(f"|--plan-only|--out|{folder}/plan.parquet") + end
    assert merge == f"merge|{folder}|--out|{workdir}/toy/toys-build_toy-baseline/injections.parquet"


def test_a_node_runs_a_task_in_its_own_folder_and_sends_what_it_writes() -> None:
    sent = list(ray_node.work(ray_node.Work(("--version",), {}, None, {}), None))
    assert [path for path, _ in sent] == ["", "log"]
    assert sent[1][1].decode() == f"tgr {tgr_cli.__version__}\n"
