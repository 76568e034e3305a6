"""The examples: .ci/examples runs them, or their commands are run elsewhere; and what they promise of exit codes."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tgr_cli.published import figures
from tgr_cli.steps import demo

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
COVERAGES = {"ilr": "0.9", "flr": "0.9", "filr": "1"}  # ISSRE 2021, figures 4 and 8, and section VI-D
PUBLISHED_NETWORKS = {row.model for row in figures._rows() if row.source == "NeurIPS 2023, Table 1"}
LIMITS = {"": 0.01, "_low": 0.005, "_high": 0.02}


Done = subprocess.CompletedProcess[str]


def run(
    script: str, *arguments: str, code: int = 0, prints: str = "", **environment: str
) -> tuple[Done, list[list[str]]]:
    """Run a script with a `tgr` that notes its arguments, prints and ends with `code`; return them by command."""
    Path("bin").mkdir()
    noted = Path("commands").resolve()
    noted.touch()
    Path("bin/printed").write_text(prints)
    printing = f"cat {Path('bin/printed').resolve()}"
    (stand_in := Path("bin/tgr")).write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >> {noted}\n{printing}\n[ "$1" = report ] || exit {code}\n'
    )
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


CAMPAIGN = {
    "gate": {"verdict": "passed", "sentence": "the rate is 0.01, within the gate of 0.05"},
    "sites": [
        {"site": "conv1", "faults": 1024}
        | {f"{name}{end}": value for name in ("sdc_rate", "mean_dloss") for end, value in LIMITS.items()},
        {"site": "fc", "faults": 64} | {f"{name}{end}": None for name in ("sdc_rate", "mean_dloss") for end in LIMITS},
    ],
    "injections": "runs/digits/net/injections.parquet",
}


@pytest.mark.parametrize(
    ("code", "words"), [(0, "the gate is passed"), (3, "the gate is not passed"), (1, "no whole campaign")]
)
def test_the_gate_ends_with_the_campaigns_exit_code_and_leaves_what_a_job_shows(code: int, words: str) -> None:
    given = ("--dataset", "digits", "--max-sdc-rate", "0.05")
    printed = json.dumps(CAMPAIGN) if code != 1 else ""
    done, (inject, *others) = run("ci_gate.sh", *given, code=code, prints=printed, GITHUB_STEP_SUMMARY="shown.md")
    assert words in done.stderr
    assert inject == ["inject", *given, "--junit", "results/gate.xml", "--json"]
    page = ["report", "runs/digits/net/injections.parquet", "--out", "results/report.html", "--quiet"]
    assert others == ([page] if code != 1 else [])
    assert done.returncode == code
    summary = Path("results/summary.md").read_text()
    assert summary == Path("shown.md").read_text()
    assert words in summary
    assert ("| conv1 | 1,024 | 0.01 (0.005 to 0.02) | 0.01 (0.005 to 0.02) |" in summary) == (code != 1)
    assert ("| fc | 64 | – | – |" in summary) == (code != 1)


def test_the_action_runs_the_script_with_its_arguments_split_and_nothing_run() -> None:
    """The action's own line, as GitHub runs it: a shell's words, in which nothing is expanded."""
    import yaml

    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    Path("show").write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    Path("show").chmod(0o755)
    environment = {**os.environ, "CAMPAIGN": "--model 'a b' --dataset $(touch made)\n--json", "SCRIPT": "./show"}
    done = subprocess.run(["bash", "-c", steps[1]["run"]], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "<--model><a b><--dataset><$(touch><made)><--json>"
    assert not Path("made").exists()


def test_the_job_array_runs_every_shard_of_one_plan_once() -> None:
    done, (plan, *shards, merge) = run("job_array.sh", TASKS="3")
    assert done.returncode == 0
    assert plan[-3:] == ["--plan-only", "--out", "plan.parquet"]
    assert sorted(shard[-4:] for shard in shards) == [
        ["--plan", "plan.parquet", "--shard", f"{n}/3"] for n in (1, 2, 3)
    ]
    assert merge == ["merge", "runs/digits/digits_cnn-baseline", "--out", "merged.parquet"]


def test_a_task_of_an_array_leaves_its_number_to_the_scheduler() -> None:
    done, (shard,) = run("job_array.sh", "shard")
    assert (done.returncode, shard[-2:]) == (0, ["--shard", "auto"])


def test_a_shard_that_fails_ends_the_array_before_it_is_merged() -> None:
    done, commands = run("job_array.sh", code=1)
    assert done.returncode == 1
    assert not [command for command in commands if command[0] == "merge"]


SMALL = {"SETS": "mnist cifar10", "TECHNIQUES": "baseline dropout-ranger", "EPOCHS": "2", "INJECTIONS": "8"}


def test_the_comparison_of_trainings_strikes_the_published_networks_without_a_range_limit() -> None:
    done, commands = run("robust_training.sh", **SMALL)
    assert done.returncode == 0, done.stderr
    names = [command[0] for command in commands]
    each = [
        "train",
        "evaluate",
        "inject",
        "train",
        "profile-ranges",
        "guard",
        "evaluate",
        "inject",
        "compare",
        "report",
    ]
    assert names == each * 2
    struck = [" ".join(command) for command in commands if command[0] == "inject"]
    assert [line.partition(" --head")[0].rpartition(" ")[2] for line in struck] == ["lenet5_28"] * 2 + [
        "lenet5_rgb"
    ] * 2
    assert all(line.endswith("--injections 8 --limit none") for line in struck)
    assert ["--variant dropout-ranger" in line for line in struck] == [False, True] * 2
    trained = [" ".join(command) for command in commands if command[0] == "train"]
    assert ["--variant dropout --seed 0" in line and "--dropout 0.2" in line for line in trained] == [False, True] * 2
    assert commands[-2][1:3] == ["lenet5_rgb-baseline", "lenet5_rgb-baseline-dropout-ranger"]


def test_the_comparison_of_trainings_goes_on_where_it_was_and_keeps_its_size() -> None:
    run("robust_training.sh", **SMALL)
    shutil.rmtree("bin")
    Path("commands").unlink()
    done, commands = run("robust_training.sh", **SMALL | {"SEEDS": "0 1"})
    assert done.returncode == 0, done.stderr
    ran = [command for command in commands if command[0] not in ("compare", "report")]
    assert len(ran) == 16  # those of the second seed alone
    assert all("--seed 1" in " ".join(command).replace("--train-seed", "--seed") for command in ran)
    assert commands[-1][3:5] == ["lenet5_rgb-baseline-s1", "lenet5_rgb-baseline-s1-dropout-ranger"]
    shutil.rmtree("bin")
    Path("commands").unlink()
    done, commands = run("robust_training.sh", **SMALL | {"EPOCHS": "3"})
    assert (done.returncode, commands) == (1, [])
    assert "was begun with" in done.stderr
    assert "Take another WORKDIR" in done.stderr


def test_a_technique_that_there_is_not_is_refused_before_any_training() -> None:
    done, commands = run("robust_training.sh", **SMALL | {"TECHNIQUES": "baseline stimulate"})
    assert (done.returncode, commands) == (1, [])
    assert "there is no technique stimulate" in done.stderr


HEADS = {"TRAIN": "--epochs 1", "INJECTIONS": "8"}
TEXTS = ("text-template", "text-descriptions")


def test_a_table_of_heads_strikes_every_head_as_published_and_compares_it_with_the_usual_one() -> None:
    given = HEADS | {"MODEL": "timm:resnet20", "DATASET": "cifar10", "EMBED_TEMPLATE": "--encoder tfidf"}
    done, commands = run("table3.sh", **given)
    assert done.returncode == 0, done.stderr
    each = ["train", "evaluate", "inject"]
    names = [*each, *each, "embed", *each, "describe", "embed", *each, "compare"]
    assert [command[0] for command in commands] == names
    heads = [" ".join(command).partition(" --head ")[2] for command in commands if command[0] == "train"]
    assert [head.partition(" --epochs")[0] for head in heads] == [
        *("baseline", "cosine", "text --init template", "text --init descriptions")
    ]
    struck = [" ".join(command) for command in commands if command[0] == "inject"]
    assert all(line.endswith("--as-published neurips --injections 8") for line in struck)
    embedded = [" ".join(command).partition(" --init ")[2] for command in commands if command[0] == "embed"]
    assert embedded == ["template --encoder tfidf", "descriptions"]
    assert commands[-1][1:5] == [f"timm-resnet20-{head}" for head in ("baseline", "cosine", *TEXTS)]
    assert commands[-1][-1] == "--published"


def test_the_published_size_and_networks_are_what_the_tables_take_by_default() -> None:
    done, commands = run("table1.sh")
    assert done.returncode == 0, done.stderr
    compared = [command[1] for command in commands if command[0] == "compare"]
    assert len(compared) == 14
    assert {each.removesuffix("-baseline") for each in compared} == set(PUBLISHED_NETWORKS)
    struck = [command for command in commands if command[0] == "inject"]
    assert all(command[-2:] == ["--as-published", "neurips"] for command in struck)
    assert all("--recipe auto" in " ".join(command) for command in commands if command[0] == "train")
    assert sum(command[0] == "describe" for command in commands) == 1  # of the data set, for all networks


def test_the_second_table_is_over_data_sets_and_goes_on_where_it_was() -> None:
    done, commands = run("table2.sh", **HEADS | {"SETS": "cifar10 stl10", "MODELS": "resnet50"})
    assert [command[command.index("--dataset") + 1] for command in commands if command[0] == "compare"] == [
        *("cifar10", "stl10")
    ]
    shutil.rmtree("bin")
    Path("commands").unlink()
    done, commands = run("table2.sh", **HEADS | {"SETS": "cifar10", "MODELS": "resnet50"})
    assert (done.returncode, [command[0] for command in commands]) == (0, ["compare"])
    shutil.rmtree("bin")
    Path("commands").unlink()
    done, commands = run("table2.sh", **HEADS | {"INJECTIONS": "9"})
    assert (done.returncode, commands) == (1, [])
    assert "was begun with" in done.stderr


def test_selective_protection_is_chosen_at_the_papers_coverages() -> None:
    done, commands = run("flr_ilr_filr.sh", MODELS="alexnet", INJECTIONS="4")
    assert done.returncode == 0, done.stderr
    assert [command[0] for command in commands] == ["evaluate", "inject", *["protect"] * 3, "top2diff-sweep"]
    assert all("--as-published issre" in " ".join(command) for command in commands)
    assert commands[1][-2:] == ["--injections", "4"]
    chosen = [(command[1], *command[command.index("--technique") + 1 :][:3:2]) for command in commands[2:5]]
    assert chosen == [("alexnet-baseline-int8", technique, share) for technique, share in COVERAGES.items()]
    shutil.rmtree("bin")
    Path("commands").unlink()
    done, commands = run("flr_ilr_filr.sh")
    struck = [command for command in commands if command[0] == "inject"]
    assert len(struck) == 7
    assert not any("--injections" in command for command in struck)


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
