import json
from pathlib import Path

import pytest
from toys_artifacts import invoke, site, write_golden, write_injections

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import SWEEP
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.steps.top2diff_sweep import Config, run

FOLDER = Path("runs/digits")
FIRST = {"a": 0.05, "b": 0.12, "c": 0.90, "d": 0.02}
SECOND = {"a": 0.30, "b": 0.40, "c": 0.80, "d": 0.50}


class Notes(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def golden(name: str, top2diff: dict[str, float], wrong: str = "", model: str = "", **facts: str) -> Path:
    return write_golden(FOLDER / name / "golden.parquet", top2diff, wrong, run=name, model=model or name * 20, **facts)


def two_runs() -> None:
    golden("net-baseline", FIRST, wrong="d")  # 0.75 right
    golden("net-text", SECOND, wrong="cd")  # 0.5 right


def test_every_evaluated_run_is_swept_and_the_crossover_is_where_the_curves_say():
    """Baseline: 0.75 up to 0.05, 0.5 up to 0.12, then 0.25. Text: 0.5 up to 0.30. So text is ahead from 0.13 on."""
    two_runs()
    notes = Notes()
    result = run(Config(dataset="digits"), notes)
    assert result.models == ["net-baseline", "net-text"]
    curve = {(row["model"], row["delta"]): row["accuracy"] for row in result.rows}
    assert len(curve) == 2 * 40
    deltas = (0.01, 0.05, 0.06, 0.12, 0.13, 0.31, 0.40)
    assert [curve["net-baseline", delta] for delta in deltas] == [0.75, 0.75, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert [curve["net-text", delta] for delta in deltas] == [0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert result.rows[5]["overhead"] == 0.5  # delta 0.06: images a and d
    (crossover,) = result.crossovers
    assert vars(crossover) == {"first": "net-baseline", "candidate": "net-text", "deltas": [0.13], "behind": True}
    assert len(notes.said) == 2
    assert "net-text has no injections" in notes.said[1]
    artifact = store.read(result.path, SWEEP)
    assert artifact.path == FOLDER / "sweep.parquet"
    assert artifact.table.to_pylist() == result.rows
    assert set(artifact.provenance.inputs) == {"golden net-baseline", "golden net-text"}


def test_injections_of_the_run_give_coverage_and_the_overhead_counts_all_images():
    """Ten faults at two sites; SDCs seen with Top2Diff 0.10 and 0.30 at conv (of 5), 0.20 at fc (of 5)."""
    golden("net-text", SECOND, model="m")
    write_injections(
        FOLDER / "net-text/injections.parquet",
        [(site("conv"), "ssbmn", "abcda", [1, 1, 1, 0, None]), (site("fc"), "sbbbb", "abcda", [1, 1, 1, 1, 1])],
        model="m",
        top2diff=[0.10, 0.30, 0.0, 0.0, None, 0.20, 0.0, 0.0, 0.0, 0.0],
        golden_top2diff=[0.30, 0.40, 0.80, 0.50, 0.30, 0.30, 0.40, 0.80, 0.50, 0.30],
    )
    result = run(Config(dataset="digits", start=0.1, stop=0.5, step=0.1))
    assert [row["sdc_coverage"] for row in result.rows] == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert [row["sdc_coverage_golden"] for row in result.rows] == pytest.approx([0, 0, 0, 2 / 3, 1])
    assert [row["overhead"] for row in result.rows] == [0, 0, 0, 0.25, 0.5]


def test_explicit_injections_find_their_model_by_its_fingerprint():
    one, two = golden("one", FIRST, model="m1"), golden("two", FIRST, model="m2")
    given = write_injections(Path("elsewhere/injections.parquet"), [(site("fc"), "s", "a", [1])], model="m2")
    result = run(Config(golden=[one, two], injections=[given], dataset="digits"))
    covered = {row["model"]: row["sdc_coverage"] for row in result.rows if row["delta"] == 0.4}
    assert covered == {"one": None, "two": 0.0}


def test_the_command_prints_the_table_and_the_json():
    two_runs()
    shown = invoke("top2diff-sweep", "--dataset", "digits", "--quiet")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "Against net-baseline, net-text overtakes it at delta 0.13." in shown.stdout
    assert "75.00" in shown.stdout
    printed = json.loads(invoke("top2diff-sweep", "--dataset", "digits", "--run", "net-text", "--json").stdout)
    assert printed["models"] == ["net-text"]
    assert printed["crossovers"] == []
    assert Path("runs/digits/sweep.run.json").exists()


def strangers() -> Config:
    golden("net", FIRST, model="m1")
    write_injections(FOLDER / "net/injections.parquet", [(site("fc"), "s", "a", [1])], model="other")
    return Config(dataset="digits")


def unknown_images() -> Config:
    golden("net", FIRST, model="m1")
    write_injections(FOLDER / "net/injections.parquet", [(site("fc"), "s", "z", [1])], model="m1")
    return Config(dataset="digits")


def unmatched() -> Config:
    path = golden("net", FIRST, model="m1")
    other = write_injections(Path("x/injections.parquet"), [(site("fc"), "s", "a", [1])], model="other")
    return Config(dataset="digits", golden=[path], injections=[other])


def other_images() -> Config:
    golden("one", FIRST)
    golden("two", {"a": 0.1, "z": 0.2})
    return Config(dataset="digits")


def other_classes() -> Config:
    golden("one", FIRST)
    golden("two", FIRST, classes="f" * 64)
    return Config(dataset="digits")


def misnamed() -> Config:
    two_runs()
    return Config(dataset="digits", run=["net-test"])


def twice() -> Config:
    two_runs()
    return Config(dataset="digits", run=["net-text", "net-text"])


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (strangers, r"injections.parquet was made with the model other, .*golden.parquet with m1; make both with one"),
        (unmatched, r"x/injections.parquet was made with the model other, .*golden.parquet with m1"),
        (
            unknown_images,
            r"has faults on 1 images that .*golden.parquet does not hold, as z; run \"tgr evaluate\" on all",
        ),
        (other_images, r"one/golden.parquet holds 4 images, .*two/golden.parquet 2, 1 of them the same, labels incl"),
        (other_classes, r"are of other classes \(SHA-256 \w{12} and ffffffffffff\); compare models of one data set"),
        (misnamed, r"no run \"net-test\" in runs/digits; it holds net-baseline, net-text. Did you mean \"net-text\"\?"),
        (twice, r"two of the models are called \"net-text\"; name each run once"),
        (lambda: Config(dataset="digits"), r"no run in runs/digits has golden.parquet; run \"tgr evaluate\" first"),
        (lambda: Config(start=0.5, stop=0.4), r"from 0.5 to 0.4; Top2Diff lies in \[0, 1\], so give 0 ≤ --start ≤"),
        (lambda: Config(step=0.0), r"--step is 0; give a distance"),
        (lambda: Config(golden=[Path("x.parquet")]), r"x.parquet does not exist; run \"tgr evaluate\" first"),
        (lambda: Config(dataset="digit"), r"there is no data set \"digit\".*Did you mean \"digits\"\?"),
    ],
)
def test_each_mistake_is_told_in_a_sentence(made, words):
    with pytest.raises(TgrError, match=words):
        run(made())
    assert not list(Path().glob("runs/**/sweep*"))
