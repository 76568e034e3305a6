"""`tgr protect`: every figure recomputed by loops over the rows, what the artifact records, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_pages import draw_only
from scipy import stats
from toys_artifacts import invoke, site, write_golden, write_injections

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS, PROTECTION
from tgr_cli.campaign import feature_maps, results
from tgr_cli.errors import TgrError
from tgr_cli.protection.split import analysis, folds

NET, LIGHT = Path("runs/digits/net-baseline"), Path("runs/digits/light-baseline")
# 3 maps of 100 multiply-accumulates, 2 of 300, and a last layer of 100.
SITES = [
    site("conv1", "conv", neurons=12, macs=300),
    site("conv2", "conv", neurons=4, macs=600),
    site("fc", neurons=10, macs=100),
]
MAPS = {"conv1": {"axis": 0, "count": 3}, "conv2": {"axis": 1, "count": 2}}
COEFFICIENTS = {"neurons": {"conv1": 12 / 16, "conv2": 4 / 16}, "macs": {"conv1": 300 / 900, "conv2": 600 / 900}}
IMAGES = "abcdefghijklmnopqrst"
WRONG = "t"  # is in no coverage, and is run again like the others
TOP2DIFF = {name: (place + 0.5) / 20 for place, name in enumerate(IMAGES)}
FAULTS = 60


def measured(
    seed: int = 1, *, maps: bool = True, sdcs: float = 0.3, value_before: bool = False, last: bool = True, **facts: Any
) -> None:
    """Write a golden run of 20 images, and a campaign of 60 faults at each of three sites."""
    drawn = np.random.default_rng(seed)
    write_golden(NET / "golden.parquet", TOP2DIFF, WRONG, run="net-baseline", model="net")
    sites = SITES if last else SITES[:2]
    images = ["".join(drawn.choice(list(IMAGES[:-1]), FAULTS)) for _ in sites]
    outcomes = ["".join(np.where(drawn.random(FAULTS) < sdcs, "s", "b")) for _ in sites]
    dloss = [np.round(drawn.exponential(1.0, FAULTS), 3).tolist() for _ in sites]
    number = len(sites) * FAULTS
    write_injections(
        NET / "injections.parquet",
        list(zip(sites, outcomes, images, dloss, strict=True)),
        model="net",
        top2diff=drawn.random(number).round(3).tolist(),
        top1=drawn.random(number).round(3).tolist(),
        weights=drawn.uniform(0.5, 2.0, number).tolist(),
        faulty_label=[1] * number,
        value_before=drawn.normal(size=number).round(3).tolist() if value_before else None,
        extra=({"feature_maps": MAPS} if maps else {}) | facts,
    )


def write_feature_maps() -> None:
    """Write the `feature_maps` beside the campaign, as `tgr inject` does."""
    campaign = store.read(NET / "injections.parquet", INJECTIONS)
    made = {name: getattr(campaign.provenance, name) for name in ("model", "classes", "config", "extra")}
    struck = results.read(campaign.table, campaign.provenance.config)
    feature_maps.write(NET / "injections.parquet", campaign.table, struck, SITES[:2], made)


def protect(*arguments: object, exit_code: int = 0) -> dict[str, Any]:
    done = invoke("protect", "net-baseline", "--dataset", "digits", "--json", *arguments)
    assert done.exit_code == exit_code, done.output
    return json.loads(done.stdout)


def faults() -> list[dict[str, Any]]:
    rows = store.read(NET / "injections.parquet", INJECTIONS).table.to_pylist()
    for row in rows:
        count = MAPS.get(row["site"], {}).get("count")
        row["map"] = None if count is None else (row["site"], row["fault"] % count)
    return rows


def parts(share: float = 0.8, seed: int = 0) -> dict[str, set[str]]:
    chosen = analysis(list(IMAGES), share, seed)
    return {
        "analysis": {name for name, is_in in zip(IMAGES, chosen, strict=True) if is_in},
        "deployment": {name for name, is_in in zip(IMAGES, chosen, strict=True) if not is_in},
    }


def coverage(rows: list[dict], images: set[str], count_by: str, caught: Callable[[dict], bool]) -> float:
    """Return the caught share of the SDCs on these images, of conv1 and conv2 as their coefficients count them."""
    sums = {True: 0.0, False: 0.0}
    for row in rows:
        if row["outcome"] == "sdc" and row["image_id"] in images and row["site"] != "fc":
            sums[bool(caught(row))] += COEFFICIENTS[count_by][row["site"]] * row["weight"]
    return sums[True] / (sums[True] + sums[False])


def vulnerable_first(effect: Callable[[dict], float], images: set[str]) -> list[tuple[str, int]]:
    found = vulnerabilities(effect, images)
    return sorted(found, key=lambda name: -found[name])


def vulnerabilities(effect: Callable[[dict], float], images: set[str]) -> dict[tuple[str, int], float]:
    """Return each map's share of the work times the mean effect of its faults on these images, up to a factor."""
    found = {(name, place): 0.0 for name, facts in MAPS.items() for place in range(facts["count"])}
    for row in faults():
        if row["map"] and row["image_id"] in images:
            found[row["map"]] += COEFFICIENTS["macs"][row["site"]] * row["weight"] * effect(row)
    return found


def work(maps: Any) -> float:
    return sum({"conv1": 100, "conv2": 300}[name] for name, _ in maps) / 1000


def chosen_maps(found: dict[str, list[int]]) -> set[tuple[str, int]]:
    return {(name, channel) for name, channels in found.items() for channel in channels}


@pytest.mark.parametrize("count_by", ["neurons", "macs"])
@pytest.mark.parametrize("criterion", ["top2diff", "top1conf"])
def test_rerunning_is_chosen_on_the_analysis_images_and_judged_on_the_others(criterion: str, count_by: str) -> None:
    measured()
    found = protect("--technique", "ilr", "--criterion", criterion, "--count-by", count_by)
    column = {"top2diff": "faulty_top2diff", "top1conf": "faulty_top1"}[criterion]
    confidence = TOP2DIFF if criterion == "top2diff" else {name: (1 + value) / 2 for name, value in TOP2DIFF.items()}
    struck = faults()
    assert [row["threshold"] for row in found["rows"]] == pytest.approx(np.arange(101) / 100)
    for row in found["rows"]:
        below = row["threshold"]
        for name, images in parts().items():
            expected = coverage(struck, images, count_by, lambda fault, below=below: fault[column] < below)
            assert row[f"coverage_{name}"] == pytest.approx(expected)
            assert row[f"coverage_{name}_low"] <= row[f"coverage_{name}"] <= row[f"coverage_{name}_high"]
            again = sum(confidence[image] < below for image in images)
            assert row[f"overhead_{name}"] == pytest.approx(again / len(images))
        assert row["false_alarms"] == row["false_alarms_high"] == 0
    reached = [row["coverage_analysis"] >= 0.9 for row in found["rows"]]
    assert [row["chosen"] for row in found["rows"]] == [n == reached.index(True) for n in range(101)]


@pytest.mark.parametrize(
    ("order", "effect"), [("dloss", lambda row: row["dloss"]), ("mismatch", lambda row: row["outcome"] == "sdc")]
)
@pytest.mark.parametrize("target", [0.5, 0.9, 1.0])
def test_duplicated_maps_are_the_fewest_that_reach_the_target(
    order: str, effect: Callable[[dict], float], target: float
) -> None:
    measured()
    found = protect("--technique", "flr", "--order", order, "--target-coverage", target, "--folds", 1)
    ordered = vulnerable_first(effect, parts()["analysis"])
    struck = faults()
    by_number = {row["maps"]: row for row in found["rows"]}
    assert set(by_number) == set(range(6))
    for number, row in by_number.items():
        for name, images in parts().items():
            expected = coverage(struck, images, "macs", lambda fault, n=number: fault["map"] in ordered[:n])
            assert row[f"coverage_{name}"] == pytest.approx(expected)
            assert row[f"overhead_{name}"] == pytest.approx(work(ordered[:number]))
    fewest = min(number for number, row in by_number.items() if row["coverage_analysis"] >= target - 1e-9)
    assert [row["maps"] for row in found["rows"] if row["chosen"]] == [fewest]
    stored = store.read(Path(found["protection"]), PROTECTION)
    (facts,) = stored.fact("chosen")
    assert chosen_maps(facts["maps"]) == set(ordered[:fewest])
    assert (facts["technique"], facts["order"], facts["threshold"]) == ("flr", order, None)


@pytest.mark.parametrize(("target", "folds"), [(0.6, 1), (0.9, 5), (1.0, 1)])
def test_both_together_are_never_dearer_than_either(target: float, folds: int) -> None:
    measured()
    alike = ("--count-by", "neurons", "--criterion", "top2diff")
    found = protect("--target-coverage", target, *alike, "--folds", folds)["rows"]
    best = {row["technique"]: row for row in found if row["chosen"]}
    alone = [row["overhead_analysis"] for name, row in best.items() if name != "filr"]
    assert best["filr"]["overhead_analysis"] <= min(alone) + 1e-12
    assert all(row["coverage_analysis"] >= target - 1e-9 for row in found if row["technique"] == "filr")
    facts = next(
        each
        for each in store.read(Path("runs/digits/protection.parquet"), PROTECTION).fact("chosen")
        if each["technique"] == "filr"
    )
    maps, below = chosen_maps(facts["maps"]), facts["threshold"]
    for name, images in parts().items():
        expected = coverage(
            faults(), images, "neurons", lambda row: row["faulty_top2diff"] < below or row["map"] in maps
        )
        assert best["filr"][f"coverage_{name}"] == pytest.approx(expected)
        again = sum(TOP2DIFF[image] < below for image in images) / len(images)
        assert best["filr"][f"overhead_{name}"] == pytest.approx(again + work(maps))


@pytest.mark.parametrize("number", [2, 5])
def test_coverage_is_predicted_for_images_by_maps_that_were_ordered_without_them(number: int) -> None:
    """At an overhead, each fold's faults are caught by the maps that the order without the fold has within it."""
    measured()
    found = protect("--technique", "flr", "--folds", number)
    struck, analysed = faults(), [name for name in IMAGES if name in parts()["analysis"]]
    part = folds(list(IMAGES), analysis(list(IMAGES), 0.8, 0), number, 0)
    orders = []
    for fold in range(number):
        others = {name for name, own in zip(IMAGES, part, strict=True) if own not in (fold, -1)}
        orders.append(vulnerable_first(lambda row: row["dloss"], others))
    of_image = dict(zip(IMAGES, part.tolist(), strict=True))
    for row in found["rows"]:
        within = [
            {name for place, name in enumerate(order) if work(order[: place + 1]) <= row["overhead_analysis"] + 1e-9}
            for order in orders
        ]
        seen = [{**fault, "caught": fault["map"] in within[of_image[fault["image_id"]]]} for fault in struck]
        expected = coverage(seen, set(analysed), "macs", lambda fault: fault["caught"])
        assert row["coverage_analysis"] == pytest.approx(expected)
    reached = [row["coverage_analysis"] >= 0.9 for row in found["rows"]]
    assert [row["chosen"] for row in found["rows"]].index(True) == reached.index(True)


def test_with_few_faults_a_map_folds_promise_no_more_than_holds() -> None:
    """SDCs at random: every map is as vulnerable as another, so that no order covers more than its cost.

    The published prediction promises more, as it knows where the SDCs were.
    """
    drawn = np.random.default_rng(4)
    images = [f"image {n}" for n in range(200)]
    write_golden(NET / "golden.parquet", dict.fromkeys(images, 0.5), run="net-baseline", model="net")
    conv, count = site("conv1", "conv", neurons=400, macs=400), 200
    sdc = "".join(np.where(drawn.random(4 * count) < 0.1, "s", "b"))
    write_injections(
        NET / "injections.parquet",
        [(conv, sdc, drawn.choice(images, 4 * count), [1.0] * len(sdc))],
        model="net",
        extra={"feature_maps": {"conv1": {"axis": 0, "count": count}}},
    )
    at_half = {}
    for number in (1, 5):
        rows = protect("--technique", "flr", "--order", "mismatch", "--folds", number, "--target-coverage", 0.5)["rows"]
        at_half[number] = next(row for row in rows if row["chosen"])
    assert at_half[1]["overhead_deployment"] < 0.2
    assert at_half[1]["coverage_deployment"] < 0.35  # of 0.5 that were promised
    assert at_half[5]["overhead_deployment"] == pytest.approx(0.5, abs=0.15)
    assert at_half[5]["coverage_deployment"] == pytest.approx(0.5, abs=0.2)


def test_heuristics_order_by_values_or_work_and_say_how_they_agree_with_injected_orders() -> None:
    measured(value_before=True)
    found = protect("--technique", "flr", *(part for name in ("value", "work", "dloss") for part in ("--order", name)))
    images, stored = parts()["analysis"], store.read(Path(found["protection"]), PROTECTION)
    best = {each["order"]: chosen_maps(each["maps"]) for each in stored.fact("chosen")}
    numbers = {row["order"]: row["maps"] for row in found["rows"] if row["chosen"]}
    assert best["value"] == set(vulnerable_first(lambda row: abs(row["value_before"]), images)[: numbers["value"]])
    # Two maps of 300 multiply-accumulates come before three of 100.
    assert best["work"] >= {("conv2", 0), ("conv2", 1)} if numbers["work"] > 1 else best["work"] == {("conv2", 0)}
    rank = stored.fact("agreements")
    assert rank == found["agreements"]
    assert [(each["order"], each["injected"]) for each in rank] == [
        (order, injected) for order in ("value", "work") for injected in ("dloss", "mismatch")
    ]
    by = {
        name: [score for _, score in sorted(vulnerabilities(effect, images).items())]
        for name, effect in (
            ("value", lambda row: abs(row["value_before"])),
            ("dloss", lambda row: row["dloss"]),
            ("mismatch", lambda row: row["outcome"] == "sdc"),
        )
    }
    for each in rank[:2]:
        assert each["spearman"] == pytest.approx(stats.spearmanr(by["value"], by[each["injected"]]).statistic)
        assert each["kendall"] == pytest.approx(stats.kendalltau(by["value"], by[each["injected"]]).statistic)
    printed = invoke("protect", "net-baseline", "--dataset", "digits", "--technique", "flr", "--order", "value").stdout
    assert f"agree with those by dLoss with a rank correlation of {rank[0]['spearman']:.3g} (Spearman)" in printed


def test_each_technique_counts_as_published_unless_told_otherwise() -> None:
    measured()
    rows = protect()["rows"]
    assert {(row["technique"], row["count_by"], row["operations"]) for row in rows} == {
        ("ilr", "neurons", "conv"),
        ("flr", "macs", "conv"),
        ("filr", "neurons", "conv"),
    }
    assert {row["count_by"] for row in protect("--count-by", "sites")["rows"]} == {"sites"}


def test_a_lighter_model_misses_what_it_agrees_with_and_raises_false_alarms() -> None:
    """It takes the images from k on for class 1, which all SDCs are: they are missed, and differ without a fault."""
    measured()
    write_golden(LIGHT / "golden.parquet", TOP2DIFF, IMAGES[10:], run="light-baseline", model="light")
    lighter = ("--rerun-with", "light-baseline")
    found = protect("--technique", "ilr", "--criterion", "top2diff", *lighter, "--rerun-cost", 0.25)
    deployed, struck = parts()["deployment"], faults()
    for row in found["rows"]:
        below = row["threshold"]
        again = [image for image in deployed if TOP2DIFF[image] < below]
        assert row["overhead_deployment"] == pytest.approx(0.25 * len(again) / len(deployed))
        wrong = [image for image in again if image in IMAGES[10:] and image not in WRONG]
        assert row["false_alarms"] == pytest.approx(len(wrong) / len(deployed))
        seen = [{**fault, "caught": fault["faulty_top2diff"] < below and fault["image_id"] < "k"} for fault in struck]
        expected = coverage(seen, deployed, "neurons", lambda fault: fault["caught"])
        assert row["coverage_deployment"] == pytest.approx(expected)
    assert found["unreached"]
    with pytest.raises(TgrError, match=r'light-baseline/injections.parquet does not exist.*"tgr inject".*--rerun-cost'):
        protect(*lighter)
    write_injections(LIGHT / "injections.parquet", [(SITES[0], "b", "a", [1.0])], model="light")
    by_work = protect("--technique", "ilr", *lighter)["rows"]
    assert max(row["overhead_deployment"] for row in by_work) == pytest.approx(300 / 1000)


def test_overhead_is_over_the_whole_network_with_operations_that_no_fault_strikes() -> None:
    measured(unseen_work={"macs": 1000, "of": 2000, "uncounted": []})
    rows = protect("--technique", "flr")["rows"]
    assert max(row["overhead_deployment"] for row in rows) == pytest.approx(900 / 2000)


def test_without_an_sdc_nothing_is_chosen_and_nothing_is_said_of_reach() -> None:
    measured(sdcs=0.0)
    found = protect("--target-coverage", 0.5)
    assert [row for row in found["rows"] if row["chosen"] or row["coverage_analysis"] is not None] == []
    assert len(found["unreached"]) == 4  # ilr by two criteria, flr, filr
    for sentence in found["unreached"]:
        assert sentence.endswith("chooses nothing, as no fault on the analysis images was an SDC; inject more faults.")


def test_a_target_out_of_reach_is_said_and_fails_a_gate() -> None:
    measured(sdcs=1.0)
    path = NET / "injections.parquet"
    campaign = store.read(path, INJECTIONS)
    sure = campaign.table.column("faulty_top2diff").to_numpy().copy()
    sure[:] = 1.0  # no threshold up to 1 is above it
    table = campaign.table.set_column(
        campaign.table.column_names.index("faulty_top2diff"), INJECTIONS.arrow.field("faulty_top2diff"), [sure.tolist()]
    )
    store.write(path, INJECTIONS, table, campaign.provenance)
    found = protect("--technique", "ilr", "--criterion", "top2diff")
    (sentence,) = found["unreached"]
    assert sentence == "net-baseline: ilr by top2diff cannot catch 0.9 of the analysis images' SDCs."
    assert not any(row["chosen"] for row in found["rows"])
    printed = invoke("protect", "net-baseline", "--dataset", "digits", "--technique", "ilr", "--criterion", "top2diff")
    assert sentence in printed.stdout
    assert protect("--technique", "ilr", "--max-overhead", 1, exit_code=3)["gate"]["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [(("--max-overhead", 0.0), "failed"), (("--min-coverage", 0.01), "undecided"), (("--max-overhead", 1.0), "passed")],
)
def test_gates(gate: tuple[str, float], verdict: str) -> None:
    measured()
    found = protect("--technique", "flr", *gate, exit_code=0 if verdict == "passed" else 3)
    assert found["gate"]["verdict"] == verdict
    assert found["gate"]["sentence"].startswith("net-baseline: flr by dloss: the ")


def test_a_campaign_over_sites_serves_rerunning_alone() -> None:
    measured(maps=False)
    done = invoke("protect", "net-baseline", "--dataset", "digits")
    assert "so without flr and filr" in done.stderr
    assert {row["technique"] for row in protect()["rows"]} == {"ilr"}
    for technique in ("flr", "filr"):
        with pytest.raises(TgrError, match=rf'--technique {technique} needs; run "tgr inject --granularity map" first'):
            protect("--technique", technique)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--technique", "tmr"), r'--technique is "tmr"'),
        (("--order", "loss"), r'--order is "loss"'),
        (("--order", "dloss", "--order", "dloss"), "--order dloss is given twice"),
        (("--criterion", "entropy"), r'--criterion is "entropy"'),
        (("--target-coverage", 0), "--target-coverage is 0; give a share"),
        (("--split", 1), "--split is 1; give the share"),
        (("--folds", 17), "--folds is 17, and 16 images are for analysis"),
        (("--split", 0.99), "leaves 20 for analysis and 0 for deployment"),
        (("--rerun-cost", 0.5), "name its run with --rerun-with"),
        (("--max-overhead", 2), "--max-overhead is 2; give a share"),
        (("--min-coverage", -1), "--min-coverage is -1; give a share"),
        (("--count-by", "layers"), r'--count-by is "layers"'),
    ],
)
def test_what_is_refused(arguments: tuple[object, ...], words: str) -> None:
    measured()
    with pytest.raises(TgrError, match=words):
        protect(*arguments)
    assert not Path("runs/digits/protection.parquet").exists()


def test_runs_need_a_golden_run_and_are_named_once() -> None:
    measured()
    with pytest.raises(TgrError, match='two of the runs are called "net-baseline"'):
        protect("net-baseline")
    (NET / "golden.parquet").unlink()
    with pytest.raises(TgrError, match=r'golden.parquet does not exist.*run "tgr evaluate"'):
        protect()


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
