"""`tgr compare`: its figures, worked out by hand."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toys import write_toy_parquet
from toys_artifacts import invoke, site, write_golden, write_injections
from toys_comparison import B_CONV, B_FC, BASELINE, CONFIG, FC, HEAD, TEXT, Notes, baseline, compared, text

from tgr_cli.metrics.improvement import FACTORS
from tgr_cli.metrics.intervals import skewed_interval
from tgr_cli.steps.compare import run


def test_every_number_of_a_row_by_hand():
    baseline()
    text()
    own, common, notes = compared()
    assert notes == []
    factors = {name: cell for name, cell in own.items() if name.startswith(FACTORS)}
    assert {name: own[name] for name in own.keys() - factors.keys()} == {
        "baseline": "net-baseline",
        "candidate": "net-text-descriptions",
        "images": "own",
        "accuracy_baseline": 0.75,
        "accuracy_candidate": 0.75,
        "only_baseline_correct": 1,
        "only_candidate_correct": 1,
        "accuracy_p": 1.0,
        "accuracy_verdict": "not distinguishable",
        "params_delta": len("net-text-descriptions") - len("net-baseline"),
        "macs_delta": 1400 - 1050,
        "top2diff_baseline": pytest.approx((0.5 + 0.6 + 0.1) / 3),
        "top2diff_candidate": pytest.approx((0.8 + 0.7 + 0.3) / 3),
        "correct_baseline": 3,
        "correct_candidate": 3,
        "faults_baseline": 6,
        "faults_candidate": 9,
        "sdc_baseline": 3,
        "sdc_candidate": 1,
        "non_finite_baseline": 0,
        "non_finite_candidate": 1,
    }
    assert {name: own[name] for name in FACTORS} == {
        "last_layer": pytest.approx(10 / 5),
        "last_layer_by_neurons": pytest.approx(10 / ((10 * 5 + 90 * 1) / 100)),
        "last_layer_by_macs": pytest.approx(10 / ((100 * 5 + 300 * 1) / 400)),
        "overall": pytest.approx(7 / (8 / 3)),
        "overall_per_image": pytest.approx(7 / (8 / 3)),
        "overall_by_macs": pytest.approx((4000 + 500) / (2000 + 300 + 500)),
        "median_last_layer": pytest.approx(10 / 5),
        "median_overall": pytest.approx(((4 + 10) / 2) / ((2 + 1 + 5) / 3)),
        "sdc_last_layer": pytest.approx((2 / 3) / (1 / 3)),
        "sdc_overall": pytest.approx(((1 / 3 + 2 / 3) / 2) / ((0 + 0 + 1 / 3) / 3)),
    }
    assert not any(own[f"{name}_reliable"] for name in FACTORS)
    # Last layers: baseline a 6, b 10, c 14; candidate b 5, d 5, c non-finite.
    low, high = skewed_interval(math.log(2), np.array([6 - 10, 10 - 10, 14 - 10, 0]) / 3 / 10)
    assert (own["last_layer_low"], own["last_layer_high"]) == pytest.approx((math.exp(low), math.exp(high)))
    assert common["last_layer"] == pytest.approx(12 / 5)
    assert common["overall"] == pytest.approx(((3 + 12) / 2) / ((2 + 1 + 5) / 3))
    assert (
        common["sdc_last_layer"] is common["sdc_last_layer_low"] is None
    )  # the candidate's head has no SDC on the common images b and c
    assert (common["faults_baseline"], common["faults_candidate"], common["non_finite_candidate"]) == (4, 6, 1)
    assert common["top2diff_baseline"] == pytest.approx(0.35)
    assert common["top2diff_candidate"] == pytest.approx(0.75)
    assert (common["correct_baseline"], common["correct_candidate"]) == (2, 2)


def test_without_a_range_limit_medians_and_rates_stand_for_the_means():
    baseline()
    text(limit="none")
    own, _, notes = compared(replace(CONFIG, allow_different=["limit"]))
    assert "net-text-descriptions was injected without a range limit" in notes[0]
    assert notes[1:] == ["net-text-descriptions was injected with --limit none, net-baseline with clamp"]
    means = ("last_layer", "last_layer_by_neurons", "last_layer_by_macs", "overall", "overall_by_macs")
    assert {own[name + end] for name in means for end in ("", "_low", "_high")} == {None}
    assert own["median_last_layer"] == pytest.approx(2)
    assert own["sdc_overall"] is not None


def test_a_run_that_did_not_strike_all_layers_has_no_last_layer():
    baseline()
    text()
    struck = [(B_CONV, "bbb", "bcd", [1, 3, 2])]
    write_injections(TEXT / "injections.parquet", struck, model="text", extra={"last_sites": []})
    own, _, notes = compared()
    assert notes == [
        "net-text-descriptions has no fault at its last layer (see --targets), so no estimate of its last layer"
    ]
    assert own["last_layer"] is own["last_layer_by_macs"] is own["sdc_last_layer"] is own["median_last_layer"] is None
    assert own["overall"] == pytest.approx(7 / 2)


def test_a_site_that_no_common_image_struck_leaves_out_the_common_row_and_says_so():
    baseline()
    text(struck=[(B_FC, "bb", "bc", [1, 1]), (HEAD, "bb", "dd", [5, 5])])
    notes = Notes()
    result = run(CONFIG, notes)
    assert [row["images"] for row in result.rows] == ["own"]
    assert "some site has no fault on any of the 2 images" in notes.said[0]


def test_without_an_image_that_both_get_right_there_is_no_common_row_and_that_is_said():
    baseline()
    text()
    write_golden(TEXT / "golden.parquet", dict.fromkeys("abcd", 0.5), "abcd", run=TEXT.name, model="text")
    notes = Notes()
    result = run(CONFIG, notes)
    assert [(row["images"], row["correct_candidate"]) for row in result.rows] == [("own", 0)]
    assert any("no fault on any of the 0 images that it and net-baseline both get right" in said for said in notes.said)


def test_enough_faults_make_the_factors_reliable():
    images = {f"{number:02d}": 0.5 for number in range(40)}
    for folder, model, size in ((BASELINE, "base", 2.0), (TEXT, "text", 1.0)):
        write_golden(folder / "golden.parquet", images, run=folder.name, model=model)
        write_injections(folder / "injections.parquet", [(FC, "b" * 40, list(images), [size] * 40)], model=model)
    own, common, _ = compared()
    assert own["last_layer_reliable"] is own["overall_reliable"] is common["overall_reliable"] is True
    assert own["last_layer"] == common["overall"] == common["overall_low"] == pytest.approx(2)


def test_figures_that_differ_by_rounding_alone_fit_the_artifact() -> None:
    """Seven sites of 40 faults with 88 SDCs per side at different places: the sums of rates differ in the last bit."""
    names = [f"{number:02d}" for number in range(40)]
    for folder, model, hits in (
        (BASELINE, "base", (24, 20, 16, 8, 12, 4, 4)),
        (TEXT, "text", (12, 4, 12, 16, 4, 16, 24)),
    ):
        write_golden(folder / "golden.parquet", dict.fromkeys(names, 0.5), run=folder.name, model=model)
        struck, first = [], 20 * (model == "text")
        for place, number in enumerate(hits):  # on different images, so that many clusters contribute
            order = names[first:] + names[:first]
            struck.append((site(f"s{place}"), "s" * number + "b" * (40 - number), order, [1.0] * 40))
            first = (first + number) % 40
        write_injections(folder / "injections.parquet", struck, model=model)
    own, _, _ = compared()
    assert 0 < abs(own["sdc_overall"] - 1) < 1e-12
    assert own["sdc_overall_verdict"] == "not distinguishable"
    assert own["sdc_overall_settled_by_faults"] is own["sdc_overall_settled_by_images"] is None


def test_on_common_images_how_many_faults_struck_a_bit_is_left_to_chance() -> None:
    """Bit 0 always has dLoss 1 and bit 1 always 3, drawn equally often: over all images there is no uncertainty."""
    names = [f"{number:02d}" for number in range(80)]
    for folder, model, wrong in ((BASELINE, "base", ()), (TEXT, "text", names[60:])):
        write_golden(folder / "golden.parquet", dict.fromkeys(names, 0.5), wrong, run=folder.name, model=model)
        struck = [(FC, "b" * 60, names[:60] if wrong else names[20:], [1.0, 3.0] * 30)]
        write_injections(folder / "injections.parquet", struck, model=model, sampling="stratified", bits=[0, 1] * 30)
    own, common, _ = compared()
    assert own["overall"] == own["overall_low"] == own["overall_high"] == 1
    assert common["faults_baseline"] == 40
    assert common["overall_low"] < 0.9
    assert common["overall_high"] > 1.1


def test_two_campaigns_of_one_model_with_other_seeds_are_not_distinguishable(tmp_path):
    """The toy on 120 images: the same weights, images and sites, but other faults."""
    write_toy_parquet(tmp_path / "toy.parquet", 120)
    model = ("--model", "toys:build_toy", "--weights", "none", "--crop", 8, "--mean", "0.5", "--std", "0.5")
    data = ("--dataset", f"parquet:{tmp_path / 'toy.parquet'}", "--name", "toy")
    for seed in (1, 2):
        run_folder = Path(f"seed{seed}")
        where = (*model, *data, "-q")
        invoke("evaluate", *where, "--out", run_folder / "golden.parquet")
        invoke("inject", *where, "--seed", seed, "--injections", 600, "--out", run_folder / "injections.parquet")
    own = json.loads(invoke("compare", "seed1", "seed2", *data, "--json", "-q").stdout)["rows"][0]
    assert own["accuracy_p"] == 1
    assert own["overall"] != 1
    for name in ("overall", "overall_by_macs"):
        assert own[f"{name}_low"] < 1 < own[f"{name}_high"]
        assert own[f"{name}_verdict"] == "not distinguishable"
        settled = (own[f"{name}_settled_by_faults"], own[f"{name}_settled_by_images"])
        assert sum(wanted is not None for wanted in settled) == 1
