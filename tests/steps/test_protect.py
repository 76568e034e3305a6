"""`tgr protect`: every figure of each technique, recomputed by loops over the rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy
from toys_artifacts import invoke, site, write_golden, write_injections
from toys_protection import (
    IMAGES,
    LIGHT,
    NET,
    SITES,
    TOP2DIFF,
    WRONG,
    chosen_maps,
    coverage,
    faults,
    measured,
    parts,
    protect,
    vulnerabilities,
    vulnerable_first,
    work,
)

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import PROTECTION
from tgr_cli.errors import TgrError
from tgr_cli.protection.split import analysis, folds


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
        assert each["spearman"] == pytest.approx(scipy.stats.spearmanr(by["value"], by[each["injected"]]).statistic)
        assert each["kendall"] == pytest.approx(scipy.stats.kendalltau(by["value"], by[each["injected"]]).statistic)
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
