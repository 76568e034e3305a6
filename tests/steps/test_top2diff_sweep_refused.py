"""`tgr top2diff-sweep`: artifacts it cannot use, and options without a meaning."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from toys_artifacts import site, write_injections
from toys_sweep import FIRST, FOLDER, golden, struck, two_runs

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.errors import TgrError
from tgr_cli.steps.top2diff_sweep import Config, run


def test_injections_of_an_earlier_version_are_refused_by_what_they_lack():
    path = struck()
    old = store.read(path, INJECTIONS)
    table = old.table.drop(["golden_top1", "faulty_top1"])
    said = replace(old.provenance, version=1).to_json().encode()
    pq.write_table(table.replace_schema_metadata({store.METADATA_KEY: said}), path)
    lacking = "image_weight, image_excess, golden_top1, faulty_top1"
    with pytest.raises(TgrError, match=f"has version 1 of injections without {lacking}, this tgr reads 4"):
        run(Config(dataset="digits"))
    assert store.read(path, INJECTIONS, columns=("site", "outcome")).table.num_rows == 15
    with pytest.raises(
        TgrError,
        match=r"version 1 of injections without choice, .*; make it with \"tgr inject\"",
    ):
        store.read(path, INJECTIONS)


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


def unstruck() -> Config:
    struck()
    return Config(dataset="digits", targets="matmul")


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
        (lambda: Config(start=0.5, stop=0.4), r"from 0.5 to 0.4; confidences lie in \[0, 1\], so give 0 ≤ --st"),
        (lambda: Config(count_by="neuron"), r"--count-by is \"neuron\"; use one of sites, neurons, macs. Did you mean"),
        (lambda: Config(targets="conv,lin"), r"--targets is \"lin\"; use one of conv, linear, matmul"),
        (lambda: Config(target_coverage=0.0), r"--target-coverage is 0; give a share of the SDCs up to 1, as 0.9"),
        (lambda: Config(target_coverage=90), r"--target-coverage is 90; give a share of the SDCs up to 1, as 0.9"),
        (lambda: Config(confidence=1.0), r"--confidence is 1.0; use a probability between 0.5 and 0.999999, as 0.99"),
        (lambda: Config(max_overhead=17), r"--max-overhead is 17; give a share of the inferences, as 0.2"),
        (
            lambda: Config(gate_on="top1conf"),
            r"--gate-on top1conf names a criterion without a gate; set one with --max",
        ),
        (lambda: Config(gate_on="top1", max_overhead=1), r"--gate-on is \"top1\"; use one of top2diff, top1conf"),
        (unstruck, r"faults at sites of conv, linear only, and --targets is matmul; choose among these, or"),
        (lambda: Config(step=0.0), r"--step is 0; give a distance"),
        (lambda: Config(golden=[Path("x.parquet")]), r"x.parquet does not exist; run \"tgr evaluate\" first"),
        (lambda: Config(dataset="digit"), r"there is no data set \"digit\".*Did you mean \"digits\"\?"),
    ],
)
def test_each_mistake_is_told_in_a_sentence(made, words):
    with pytest.raises(TgrError, match=words):
        run(made())
    assert not list(Path().glob("runs/**/sweep*"))
