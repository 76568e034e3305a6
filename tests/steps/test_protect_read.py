"""The artifact of `tgr protect` in the commands that read it: fit, report and show."""

import json
from pathlib import Path

import pytest
from report_pages import draw_only
from toys_artifacts import invoke
from toys_protection import SITES, chosen_maps, faults, measured, parts, protect, write_feature_maps

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import PROTECTION
from tgr_cli.errors import TgrError


@pytest.mark.parametrize("technique", ["ilr", "flr", "filr"])
def test_failures_in_time_count_what_was_chosen_on_the_deployment_images(technique: str) -> None:
    measured()
    protect("--criterion", "top2diff", "--technique", technique, "--target-coverage", 0.6)
    (facts,) = store.read(Path("runs/digits/protection.parquet"), PROTECTION).fact("chosen")
    maps, below = chosen_maps(facts["maps"] or {}), facts["threshold"]
    here = [row for row in faults() if row["image_id"] in parts()["deployment"]]
    sums = {"safe": 0.0, "detected": 0.0, "undetected": 0.0}
    for facts in SITES:
        own = [row for row in here if row["site"] == facts["site"]]
        for row in own:
            caught = (below is not None and row["faulty_top2diff"] < below) or row["map"] in maps
            kind = "safe" if row["outcome"] != "sdc" else "detected" if caught else "undetected"
            sums[kind] += facts["neurons"] * 32 * row["weight"] / len(own)
    options = ("--dataset", "digits", "--raw-fit", 1, "--per", "bit", "--json")
    done = json.loads(invoke("fit", "net-baseline", *options, "--protected-by", technique).stdout)
    whole = done["rows"][-1]
    assert whole["fit_detected"] == pytest.approx(sums["detected"])
    assert whole["fit_undetected"] == pytest.approx(sums["undetected"])
    dangerous = sums["detected"] + sums["undetected"]
    assert whole["diagnostic_coverage"] == pytest.approx(sums["detected"] / dangerous)
    assert any("deployment images alone" in sentence for sentence in done["left_out"]["net-baseline"])


def test_failures_in_time_refuse_a_protection_that_is_not_of_the_run_as_it_is() -> None:
    measured()

    def fit(*arguments: object) -> None:
        invoke("fit", "net-baseline", "--dataset", "digits", "--raw-fit", 1, *arguments)

    protect("--technique", "ilr")
    for arguments, words in (
        (("--protected-by", "ilr"), r'holds 2 of ilr for net-baseline; run "tgr protect.*with one --order'),
        (("--protected-by", "flr"), r'holds no chosen flr for net-baseline; run "tgr protect net-baseline'),
        (("--protected-by", "ilr", "--rerun-below", 0.5), "leave --rerun-below out"),
        (("--protection", "p.parquet"), "name one with --protected-by"),
        (("--protected-by", "tmr"), '--protected-by is "tmr"'),
    ):
        with pytest.raises(TgrError, match=words):
            fit(*arguments)
    protect("--technique", "flr")
    measured(seed=2)
    with pytest.raises(TgrError, match="was not chosen from the injections of net-baseline that is there now"):
        fit("--protected-by", "flr")


def test_the_report_shows_coverage_against_overhead_of_the_campaign_it_was_chosen_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw_only(monkeypatch, "protection", "predicted", files=True)
    measured(last=False)
    write_feature_maps()
    protect("--order", "dloss", "--order", "mismatch")
    rows = store.read(Path("runs/digits/protection.parquet"), PROTECTION).table.to_pylist()
    assert invoke("report", "net-baseline", "--dataset", "digits", "--png", "png").exit_code == 0
    page = Path("runs/digits/report.html").read_text(encoding="utf-8")
    assert "Coverage against overhead, by technique" in page
    assert "Predicted against actual coverage" in page
    for name in ("ILR Top2Diff", "ILR Top1Conf", "FLR dLoss", "FLR mismatch", "FILR dLoss Top2Diff"):
        assert name in page
    best = next(row for row in rows if row["chosen"] and row["order"] == "mismatch" and row["technique"] == "flr")
    shown = f"{100 * best['coverage_deployment']:.1f}\u00a0% ({100 * best['coverage_deployment_low']:.1f}"
    assert shown in page
    assert {path.stem for path in Path("png").glob("p*.png")} == {"protection-net_baseline", "predicted-net_baseline"}
    measured(seed=2, last=False)  # another campaign: what was chosen from the one before says nothing of it
    write_feature_maps()
    invoke("report", "net-baseline", "--dataset", "digits")
    assert "by technique" not in Path("runs/digits/report.html").read_text(encoding="utf-8")


def test_show_reads_it_and_another_seed_divides_otherwise() -> None:
    measured()
    first = protect("--technique", "ilr")
    assert "protection, version 1, 202 rows" in invoke("show", "runs/digits/protection.parquet").stdout
    second = protect("--technique", "ilr", "--seed", 5)
    assert first["rows"] != second["rows"]
    assert store.read(Path("runs/digits/protection.parquet"), PROTECTION).provenance.seed == 5
