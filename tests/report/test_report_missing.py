"""The report where artifacts, figures or factors are missing, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest
from report_pages import Notes, Page
from toys_artifacts import site, write_golden, write_injections
from toys_report import BASELINE, FOLDER, IMAGES, TEXT, both, make, page

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import TRAINING
from tgr_cli.errors import TgrError
from tgr_cli.steps import compare
from tgr_cli.steps.report import Config, run


@pytest.mark.usefixtures("undrawn")
def test_runs_that_no_factor_compares_are_left_out_of_the_comparison_and_that_is_said() -> None:
    config = both()
    make(TEXT, model="text", wrong="a", head="head", shift=0.05, limit="zero")
    shown = page(config)
    assert "improvement.csv" not in shown.csv
    assert "was injected with --limit zero, net-baseline with clamp, so the two are not compared" in shown.text
    assert '"--allow-different limit" compares them all the same' in shown.text
    allowed = page(replace(config, allow_different=["limit"]))
    assert len(allowed.csv["improvement.csv"]) == 2
    assert "was injected with --limit zero, net-baseline with clamp." in allowed.text
    compare.run(compare.Config(baseline=BASELINE, candidates=[TEXT], dataset="digits", allow_different=["limit"]))
    assert "improvement.csv" in page(config).csv  # as allowed when it was made


def test_figures_that_there_are_none_of_are_said_so(request: pytest.FixtureRequest) -> None:
    make(BASELINE, model="base")
    make("gone", model="gone")
    folder = FOLDER / "gone"
    write_injections(folder / "injections.parquet", [(site("fc"), "nnnn", "abcd", [None] * 4)], model="gone")
    (folder / "ranges.parquet").unlink()
    shown = page(Config(runs=[BASELINE, "gone"], dataset="digits"))
    assert "there is no mean dLoss, as no outcome at some site is finite" in shown.text
    assert "– no factor, as one of the figures is 0 or missing" in shown.text

    request.getfixturevalue("undrawn")
    write_injections(folder / "injections.parquet", [(site("fc"), "b", "a", [0.5])], model="gone")
    shown = page(Config(runs=["gone"], dataset="digits"))
    assert "a mean dLoss of 0.500 nats, which rests on too little" in shown.text
    assert "None" not in shown.text


@pytest.mark.usefixtures("undrawn")
def test_what_is_missing_is_named_with_the_command_that_makes_it() -> None:
    config = both()
    for name, files in ((TEXT, ("ranges", "training")), (BASELINE, ("training",))):
        for file in files:
            (FOLDER / name / f"{file}.parquet").unlink()
    for file in ("injections", "vulnerability"):
        (FOLDER / TEXT / f"{file}.parquet").unlink()
    shown = page(config)
    assert 'No ranges of net-text-descriptions; "tgr profile-ranges" makes them.' in shown.text
    assert 'No training of net-baseline and net-text-descriptions; "tgr train" makes them.' in shown.text
    assert 'No injections of net-text-descriptions; "tgr inject" makes them.' in shown.text
    assert {row["model"] for row in shown.csv["ranges.csv"]} == {BASELINE}
    assert not {"training.csv", "improvement.csv"} & shown.csv.keys()


@pytest.mark.usefixtures("undrawn")
def test_one_run_stands_alone() -> None:
    both()
    shown = page(Config(runs=[BASELINE], dataset="digits"))
    assert "There is one run; name more, the baseline first, for a comparison." in shown.text
    assert len(shown.csv["vulnerability.csv"]) == 2


@pytest.mark.usefixtures("undrawn")
def test_without_a_range_limit_there_is_no_mean_dloss() -> None:
    make(BASELINE, model="base", limit="none")
    shown = page(Config(runs=[BASELINE], dataset="digits"))
    assert "mean dLoss (nats)" not in shown.text
    assert "a mean dLoss of" not in shown.text
    assert "Without a range limit a few faults dominate every mean dLoss" in shown.text


@pytest.mark.usefixtures("undrawn")
def test_outcomes_that_no_factor_counts_are_counted_in_words() -> None:
    shown = page(both())
    assert f"so no factor counts them: 2 of {BASELINE} and 2 of {TEXT}." in shown.text


def test_a_place_for_pictures_that_is_none_is_told_before_the_page_is_written() -> None:
    make(BASELINE, model="base")
    Path("plots").write_text("in the way")
    with pytest.raises(TgrError, match="--png is plots, which cannot be a folder"):
        run(Config(runs=[BASELINE], dataset="digits", png=Path("plots")))
    assert not Path("runs/digits/report.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_curves_of_other_weights_are_left_out_and_said() -> None:
    config = both()
    curves = {c: [0.5] for c in TRAINING.arrow.names} | {"epoch": [1]}
    store.write(FOLDER / TEXT / "training.parquet", TRAINING, curves, store.provenance_for(TRAINING, model="new"))
    notes = Notes()
    shown = Page(run(config, notes).path.read_text(encoding="utf-8"))
    assert any("net-text-descriptions: its training curves are left out" in said for said in notes.said)
    assert {row["model"] for row in shown.csv["training.csv"]} == {BASELINE}


def empty() -> Config:
    (FOLDER / "net-empty").mkdir(parents=True)
    return Config(runs=["net-empty"], dataset="digits")


def other_model() -> Config:
    config = both()
    write_golden(FOLDER / TEXT / "golden.parquet", IMAGES, run=TEXT, model="new")
    return config


def other_images() -> Config:
    config = both()
    for file in ("injections", "vulnerability"):
        (FOLDER / TEXT / f"{file}.parquet").unlink()
    write_golden(FOLDER / TEXT / "golden.parquet", {"z": 0.5}, run=TEXT, model="text")
    return config


def other_injections() -> Config:
    config = both()
    struck = [(site("fc"), "s", "a", [1])]
    path = write_injections(Path("elsewhere/injections.parquet"), struck, model="base")
    (FOLDER / BASELINE / "injections.parquet").write_bytes(path.read_bytes())
    return config


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Config(runs=[], dataset="digits"), "there is no run to report on; name at least one"),
        (lambda: Config(runs=["net"], dataset="digits"), 'there is no run "net" in runs/digits'),
        (empty, r'net-empty has no artifacts for a report; run "tgr evaluate" or "tgr inject"'),
        (other_model, r"ranges.parquet was made with the model text|injections.parquet was made with the model text"),
        (other_images, r"holds 5 images, .*golden.parquet 1"),
        (other_injections, r'vulnerability.parquet was not made from .*injections.parquet; run "tgr inject" again'),
        (lambda: Config(runs=[*both().runs, BASELINE], dataset="digits"), 'two of the runs are called "net-baseline"'),
        (
            lambda: Config(runs=both().runs, dataset="digits", out=Path("x.parquet")),
            r"--out is x.parquet, and the report is a page; name a file that ends in .html",
        ),
    ],
)
def test_each_mistake_is_told_in_a_sentence(made, words) -> None:
    with pytest.raises(TgrError, match=words):
        run(made())
    assert not list(Path().glob("**/*.html"))
