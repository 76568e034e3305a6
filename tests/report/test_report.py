"""The report's figures are those of its artifacts and of the commands."""

import re
from pathlib import Path

import numpy as np
import pytest
from report_pages import Page
from toys_artifacts import invoke
from toys_report import BASELINE, FOLDER, TEXT, both, make, page

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import COMPARISON, GOLDEN, RANGES, TRAINING, VULNERABILITY
from tgr_cli.steps import compare, top2diff_sweep
from tgr_cli.steps.report import run


def column(rows: list[dict[str, str]], name: str) -> list[float | None]:
    return [float(row[name]) if row[name] else None for row in rows]


def stored(name: str, schema) -> dict[str, list]:
    return store.read(FOLDER / name / f"{schema.kind}.parquet", schema).table.to_pydict()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("file", "schema"), [("vulnerability", VULNERABILITY), ("ranges", RANGES), ("training", TRAINING)]
)
def test_each_number_of_a_stored_row_is_that_of_its_artifact(file: str, schema) -> None:
    shown = page(both()).csv[f"{file}.csv"]
    for name in (BASELINE, TEXT):
        rows, artifact = [row for row in shown if row["model"] == name], stored(name, schema)
        numbers = [c.name for c in schema.columns if c.name in rows[0] and str(c.type) in ("double", "int64")]
        assert len(numbers) > 5
        for each in numbers:
            assert column(rows, each) == artifact[each]
        if "site" in artifact:
            assert [row["site"] for row in rows] == artifact["site"]


@pytest.mark.usefixtures("undrawn")
def test_the_comparison_is_that_of_compare_whether_stored_or_computed() -> None:
    config = both()
    computed = run(config).path.read_bytes()
    rows = compare.run(compare.Config(baseline=BASELINE, candidates=[TEXT], dataset="digits")).rows
    assert run(config).path.read_bytes() == computed
    shown = Page(computed.decode()).csv["improvement.csv"]
    assert len(shown) == len(rows) == 2
    for cells, row in zip(shown, rows, strict=True):
        assert cells == {name: "" if row[name] is None else str(row[name]) for name in COMPARISON.arrow.names}


@pytest.mark.usefixtures("undrawn")
def test_a_stored_comparison_of_other_artifacts_is_not_used() -> None:
    config = both()
    compare.run(compare.Config(baseline=BASELINE, candidates=[TEXT], dataset="digits"))
    make(TEXT, model="text", wrong="b", head="head", shift=0.05)
    rows = compare.run(
        compare.Config(baseline=BASELINE, candidates=[TEXT], dataset="digits", out=Path("other.parquet"))
    ).rows
    assert page(config).csv["improvement.csv"][0]["overall"] == str(rows[0]["overall"])


@pytest.mark.usefixtures("undrawn")
def test_thresholds_say_what_the_sweep_says() -> None:
    shown = page(both()).csv
    swept = top2diff_sweep.run(top2diff_sweep.Config(run=[BASELINE, TEXT], dataset="digits")).rows
    kept = {(row["model"], float(row["delta"])): float(row["accuracy"]) for row in shown["accuracy-against-delta.csv"]}
    rerun = {(r["model"], r["criterion"], float(r["threshold"])): r for r in shown["coverage-against-overhead.csv"]}
    assert len(rerun) > len(swept) == 2 * 2 * 101
    for row in swept:
        if row["criterion"] == "top2diff" and row["threshold"] <= 0.4:
            assert kept[row["model"], row["threshold"]] == row["accuracy"]
        cells = rerun[row["model"], row["criterion"], row["threshold"]]
        for name in ("overhead", "coverage", "coverage_golden"):
            for end in ("", "_low", "_high"):
                assert float(cells[name + end]) == row[name + end]
        assert (cells["count_by"], cells["operations"]) == (row["count_by"], row["operations"]) == ("neurons", "conv")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("count_by", "words"), [("neurons", "neurons alike over conv"), ("sites", "sites alike over")])
def test_re_running_is_told_by_both_criteria_and_what_counts(count_by: str, words: str) -> None:
    make(BASELINE, model="base", wrong="d")
    arguments = ("report", BASELINE, "--dataset", "digits", "--count-by", count_by, "-q")
    text = Page(Path(invoke(*arguments).stdout.strip()).read_text(encoding="utf-8")).text
    assert words in text
    assert "90\xa0% of SDCs caught by running again ~\xa0" in text
    assert re.search(r"by Top2Diff below 0.51; ~\s[\d.]+\s% \([\d.]+\s% to [\d.]+\s%\) by Top1Conf below 0.51", text)


@pytest.mark.usefixtures("undrawn")
def test_bits_and_images_add_up_to_the_rows_of_injections() -> None:
    shown = page(both()).csv
    for name in (BASELINE, TEXT):
        sites, golden = stored(name, VULNERABILITY), stored(name, GOLDEN)
        (bit,) = (row for row in shown["sdc-by-bit.csv"] if row["model"] == name)
        assert (bit["bit"], int(bit["rows"])) == ("0", sum(sites["faults"]))
        # With uniform sampling and sites of equal size, the share of a bit is the mean over sites.
        assert float(bit["sdc"]) == pytest.approx(np.mean(sites["sdc_rate"]))
        assert float(bit["failure"]) == pytest.approx(np.mean(sites["failure_rate"]))
        images = [row for row in shown["sdc-by-image.csv"] if row["model"] == name]
        assert sum(int(row["rows"]) for row in images) == sum(sites["faults"])
        for row in images:
            assert float(row["top2diff"]) == golden["top2diff"][golden["image_id"].index(row["image_id"])]


@pytest.mark.usefixtures("undrawn")
def test_the_page_says_what_it_found_in_words() -> None:
    shown = page(both())
    assert "2 models on digits, struck with 32 faults in all" in shown.text
    assert "net-baseline: 80.00\xa0% of 5 images right without a fault" in shown.text
    assert "net-text-descriptions against net-baseline:" in shown.text
    assert "rests on too little" in shown.text
    assert "tgr injections --model net-baseline" in re.sub(r"\s+", " ", shown.text)
    assert "makes them" not in shown.text
