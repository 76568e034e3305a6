"""`tgr top2diff-sweep`: curves, crossovers, coverages, costs, and its gate."""

import json
from pathlib import Path

import numpy as np
import pytest
from toys import write_toy_parquet
from toys_artifacts import invoke, site, write_injections
from toys_sweep import CONV, FC, FIRST, FOLDER, golden, struck, two_runs

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import GOLDEN, INJECTIONS, SWEEP, VULNERABILITY
from tgr_cli.metrics.intervals import wilson
from tgr_cli.reporting import Reporter
from tgr_cli.steps.top2diff_sweep import Config, run


class Notes(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_every_evaluated_run_is_swept_and_the_crossover_is_where_the_curves_say():
    """Baseline: 0.75 up to 0.05, 0.5 up to 0.12, then 0.25. Text: 0.5 up to 0.30. So text is ahead from 0.13."""
    two_runs()
    notes = Notes()
    result = run(Config(dataset="digits"), notes)
    assert result.models == ["net-baseline", "net-text"]
    assert len(result.rows) == 2 * 2 * 101
    top2diff = [row for row in result.rows if row["criterion"] == "top2diff"]
    assert [row["threshold"] for row in top2diff[:101]] == [round(n / 100, 2) for n in range(101)]
    curve = {(row["model"], row["threshold"]): row["accuracy"] for row in top2diff}
    deltas = (0.01, 0.05, 0.06, 0.12, 0.13, 0.31, 0.40)
    assert [curve["net-baseline", delta] for delta in deltas] == [0.75, 0.75, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert [curve["net-text", delta] for delta in deltas] == [0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert top2diff[6]["overhead"] == 0.5  # threshold 0.06: images a and d
    assert (top2diff[6]["overhead_low"], top2diff[6]["overhead_high"]) == pytest.approx(wilson(2, 4))
    top1 = {row["threshold"]: row["overhead"] for row in result.rows[101:202]}  # (1 + Top2Diff) / 2 in these files
    assert (result.rows[101]["criterion"], top1[0.52], top1[0.53], top1[0.96]) == ("top1conf", 0.25, 0.5, 1)
    (crossover,) = result.crossovers
    assert vars(crossover) == {"first": "net-baseline", "candidate": "net-text", "deltas": [0.13], "behind": True}
    assert len(notes.said) == 2
    assert "net-text has no injections" in notes.said[1]
    artifact = store.read(result.path, SWEEP)
    assert artifact.path == FOLDER / "sweep.parquet"
    assert artifact.table.to_pylist() == result.rows
    assert set(artifact.provenance.inputs) == {"golden net-baseline", "golden net-text"}


def column(rows: list[dict], name: str, criterion: str = "top2diff") -> list:
    return [row[name] for row in rows if row["criterion"] == criterion]


@pytest.mark.parametrize(
    ("choice", "covered"),
    [
        # By neurons: 3 × 1/5 at each of a, b, and 1 × 1/5 at c: 3/7 of the SDCs are a, seen at 0.10.
        ({}, [0, 3 / 7, 3 / 7, 6 / 7, 6 / 7, 6 / 7, 1]),
        ({"count_by": "sites"}, [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 1]),
        ({"count_by": "macs"}, [0, 1 / 5, 1 / 5, 2 / 5, 2 / 5, 2 / 5, 1]),
        ({"targets": "conv,linear"}, [0, 3 / 8, 4 / 8, 7 / 8, 7 / 8, 7 / 8, 1]),
        ({"targets": "linear"}, [0, 0, 1, 1, 1, 1, 1]),
    ],
)
def test_coverage_counts_what_is_asked_for_and_correct_images_alone(choice, covered):
    struck()
    result = run(Config(dataset="digits", start=0.1, stop=0.7, step=0.1, **choice))
    assert column(result.rows, "coverage") == pytest.approx(covered)
    assert column(result.rows, "overhead") == [0, 0, 0, 0.25, 0.5, 0.75, 0.75]
    assert set(column(result.rows, "count_by")) == {choice.get("count_by", "neurons")}
    assert set(column(result.rows, "operations")) == {choice.get("targets", "conv").replace(",", ", ")}


def test_both_criteria_and_both_inferences_are_judged():
    struck()
    result = run(Config(dataset="digits"))
    top1 = dict(zip(column(result.rows, "threshold"), column(result.rows, "coverage", "top1conf"), strict=True))
    assert [top1[at] for at in (0.45, 0.46, 0.55, 0.56, 0.75, 0.76)] == pytest.approx(
        [0, 3 / 7, 3 / 7, 6 / 7, 6 / 7, 1]
    )
    golden_ = dict(zip(column(result.rows, "threshold"), column(result.rows, "coverage_golden"), strict=True))
    assert [golden_[at] for at in (0.3, 0.31, 0.41, 0.8, 0.81)] == pytest.approx([0, 3 / 7, 6 / 7, 6 / 7, 1])
    costs = {(cost.criterion, cost.seen): cost for cost in result.costs}
    assert (costs["top2diff", "faulty"].threshold, costs["top2diff", "faulty"].overhead) == (0.61, 0.75)
    assert (costs["top1conf", "faulty"].threshold, costs["top1conf", "faulty"].overhead) == (0.76, 0.75)
    assert (costs["top2diff", "golden"].threshold, costs["top2diff", "golden"].overhead) == (0.81, 1)
    assert not costs["top2diff", "faulty"].reliable
    assert (costs["top2diff", "faulty"].sites, costs["top2diff", "faulty"].operations) == (2, "conv")
    less = run(Config(dataset="digits", target_coverage=0.8))
    assert [cost.threshold for cost in less.costs if cost.seen == "faulty"] == [0.31, 0.56]
    assert store.describe(less.path)[1].extra["costs"][0]["target_coverage"] == 0.8


def test_every_figure_of_a_real_campaign_is_that_of_a_plain_recomputation(tmp_path):
    """The toy with importance sampling and all images: coverages, overheads and doubtful images recomputed."""
    write_toy_parquet(tmp_path / "toy.parquet", 120)
    model = ("--model", "toys:build_toy", "--weights", "none", "--crop", 8, "--mean", "0.5", "--std", "0.5")
    where = (*model, "--dataset", f"parquet:{tmp_path / 'toy.parquet'}", "--name", "toy", "-q")
    invoke("evaluate", *where, "--out", "run/golden.parquet")
    invoke("inject", *where, "--all-images", "--injections", 400, "--out", "run/injections.parquet")
    rows = store.read(Path("run/injections.parquet"), INJECTIONS).table.to_pylist()
    for row in rows:
        for name in ("golden_top1", "faulty_top1", "golden_top2diff", "faulty_top2diff"):
            assert row[name] is None or 0 <= row[name] <= 1
        assert row["golden_top2diff"] <= row["golden_top1"]
    images = store.read(Path("run/golden.parquet"), GOLDEN).table.to_pylist()
    by_id = {image["image_id"]: image for image in images}
    assert all(row["golden_top1"] == pytest.approx(by_id[row["image_id"]]["top1"], abs=1e-6) for row in rows)
    right = {image["image_id"] for image in images if image["label"] == image["prediction"]}
    assert 0 < len(right) < len(images)
    sites = store.read(Path("run/vulnerability.parquet"), VULNERABILITY).table.to_pylist()
    for count_by in ("sites", "neurons", "macs"):
        result = run(
            Config(
                golden=[Path("run/golden.parquet")],
                injections=[Path("run/injections.parquet")],
                count_by=count_by,
                out=Path("sweep.parquet"),
            )
        )
        for criterion, name, plain in (("top2diff", "top2diff", "top2diff"), ("top1conf", "top1", "top1")):
            for threshold in (0.1, 0.25, 0.5, 0.9):
                (found,) = (r for r in result.rows if r["criterion"] == criterion and r["threshold"] == threshold)
                assert found["overhead"] == np.mean([image[plain] < threshold for image in images])
                for side, column_ in (("faulty", "coverage"), ("golden", "coverage_golden")):
                    caught = total = 0.0
                    for each in (each for each in sites if each["op"] == "conv"):
                        size = 1 if count_by == "sites" else each[count_by]
                        own = [row for row in rows if row["site"] == each["site"]]
                        sdcs = [row for row in own if row["outcome"] == "sdc" and row["image_id"] in right]
                        total += size * sum(row["weight"] for row in sdcs) / len(own)
                        caught += (
                            size * sum(row["weight"] for row in sdcs if row[f"{side}_{name}"] < threshold) / len(own)
                        )
                    assert found[column_] == pytest.approx(caught / total)


def test_what_re_running_lacks_or_speaks_of_is_said():
    for options, words in (
        ({"target": "weight"}, "--target weight: such a fault persists, so re-running detects it only on another"),
        ({"sampling": "list"}, "net-text was injected from a list of faults: its coverages describe that list"),
    ):
        struck(**options)
        notes = Notes()
        run(Config(dataset="digits"), notes)
        assert any(words in said for said in notes.said)
    write_injections(FOLDER / "net-text/injections.parquet", [(FC, "sb", "ab", [1, 1])], model="m")
    notes = Notes()
    assert run(Config(dataset="digits"), notes).rows[0]["operations"] == "linear"
    assert notes.said == ["net-text has no fault at a convolution, so all its sites count: linear"]


def test_doubtful_images_have_a_rate_of_their_own():
    images = {"a": 0.005, "b": 0.4, "c": 0.009, "d": 0.001}
    golden("net", images, model="m", wrong="d")
    write_injections(
        FOLDER / "net/injections.parquet",
        [(CONV, "ssbs", "abcd", [1] * 4), (FC, "ssss", "abcd", [1] * 4)],
        model="m",
        golden_top2diff=[0.005, 0.4, 0.009, 0.001] * 2,
    )
    (doubtful,) = run(Config(dataset="digits")).doubtful
    assert (doubtful.images, doubtful.sdc_rate, doubtful.below, doubtful.reliable) == (2, 0.5, 0.01, False)
    assert 0 < doubtful.sdc_rate_low < 0.5 < doubtful.sdc_rate_high < 1


@pytest.mark.parametrize(("gate_on", "name"), [("top2diff", "Top2Diff"), ("top1conf", "Top1Conf")])
def test_a_gate_that_the_interval_straddles_is_undecided(gate_on, name):
    struck()
    shown = invoke("top2diff-sweep", "--dataset", "digits", "--json", "-q", "--max-overhead", 0.5, "--gate-on", gate_on)
    assert shown.exit_code == 3
    assert f"gate undecided: net-text: the overhead at 0.9 of the SDCs by {name} is 0.75 (" in shown.stderr
    assert json.loads(shown.stdout)["gate"]["verdict"] == "undecided"


def test_a_gate_passes_where_the_interval_is_within_it_and_needs_injections():
    names = [f"{number:03d}" for number in range(200)]
    golden("net", {name: 0.1 if number < 60 else 0.9 for number, name in enumerate(names)}, model="m")
    write_injections(
        FOLDER / "net/injections.parquet",
        [(CONV, "s" * 60 + "b" * 140, names, [1] * 200)],
        model="m",
        top2diff=[0.1] * 200,
    )
    arguments = ("top2diff-sweep", "--dataset", "digits", "-q", "--json", "--max-overhead")
    passed = invoke(*arguments, 0.5)
    assert (passed.exit_code, json.loads(passed.stdout)["gate"]["verdict"]) == (0, "passed")
    failed = invoke(*arguments, 0.1)
    assert (failed.exit_code, json.loads(failed.stdout)["gate"]["verdict"]) == (3, "failed")
    assert "of the SDCs by Top2Diff is 0.3 (" in failed.stderr
    (FOLDER / "net/injections.parquet").unlink()
    lacking = invoke(*arguments, 0.5)
    assert lacking.exit_code == 3
    assert (
        "net: the overhead at 0.9 of the SDCs by Top2Diff is not known, so the gate of 0.5 is undecided"
        in lacking.stderr
    )


def test_explicit_injections_find_their_model_by_its_fingerprint():
    one, two = golden("one", FIRST, model="m1"), golden("two", FIRST, model="m2")
    given = write_injections(Path("elsewhere/injections.parquet"), [(site("fc"), "s", "a", [1])], model="m2")
    result = run(Config(golden=[one, two], injections=[given], dataset="digits"))
    covered = {r["model"]: r["coverage"] for r in result.rows if r["threshold"] == 0.4 and r["criterion"] == "top2diff"}
    assert covered == {"one": None, "two": 0.0}


def test_the_command_prints_the_table_and_the_json():
    two_runs()
    shown = invoke("top2diff-sweep", "--dataset", "digits", "--quiet")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "Against net-baseline, net-text overtakes it at delta 0.13." in shown.stdout
    assert "75.00" in shown.stdout
    printed = json.loads(invoke("top2diff-sweep", "--dataset", "digits", "--run", "net-text", "--json").stdout)
    assert printed["models"] == ["net-text"]
    assert printed["crossovers"] == printed["costs"] == printed["doubtful"] == []
    assert printed["gate"] is None
    assert Path("runs/digits/sweep.run.json").exists()
