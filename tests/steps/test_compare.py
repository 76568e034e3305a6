import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import write_toy_parquet
from toys_artifacts import invoke, site, write_golden, write_injections
from typer.testing import CliRunner

from tgr_cli.app import app
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.artifacts.schemas import COMPARISON, INJECTIONS, VULNERABILITY
from tgr_cli.artifacts.schemas import RANGES as RANGES_SCHEMA
from tgr_cli.commands import comparison
from tgr_cli.errors import TgrError
from tgr_cli.metrics.improvement import FACTORS
from tgr_cli.metrics.intervals import skewed_interval
from tgr_cli.reporting import Reporter
from tgr_cli.steps.compare import Config, run

FOLDER = Path("runs/digits")
BASELINE, TEXT = FOLDER / "net-baseline", FOLDER / "net-text-descriptions"
CONFIG = Config(baseline="net-baseline", candidates=["net-text-descriptions"], dataset="digits")
CONV, FC = site("conv", "conv", neurons=400, macs=1000), site("fc", macs=50)
B_CONV, B_FC = site("backbone.conv", "conv", neurons=400, macs=1000), site("backbone.fc", neurons=90, macs=300)
HEAD = site("head", neurons=10, macs=100)


class Notes(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def baseline(*, limit: str = "clamp", model: str = "base", top2diff=None, **facts: object) -> None:
    """Correct on a, b, c. Mean dLoss: conv 4 (common images b, c: 3), fc 10 (common: 12); SDCs: 1 and 2 of 3."""
    images = top2diff or {"a": 0.5, "b": 0.6, "c": 0.1, "d": 0.2}
    write_golden(BASELINE / "golden.parquet", images, "d", run=BASELINE.name, model="base", **facts)
    struck = [(CONV, "sbb", "abc", [6, 4, 2]), (FC, "sbs", "abc", [6, 10, 14])]
    write_injections(BASELINE / "injections.parquet", struck, model=model, limit=limit, extra={"last_sites": ["fc"]})


def text(*, limit: str = "clamp", head: str = "bsn", struck=None, label: str = "true") -> None:
    """Correct on b, c, d. Mean dLoss: backbone.conv 2 (common: 2), backbone.fc 1 (1), head 5 (5); one is non-finite."""
    images = {"a": 0.1, "b": 0.8, "c": 0.7, "d": 0.3}
    write_golden(TEXT / "golden.parquet", images, "a", run=TEXT.name, model="text")
    struck = struck or [
        (B_CONV, "bbb", "bcd", [1, 3, 2]),
        (B_FC, "bbb", "bcd", [0.5, 1.5, 1]),
        (HEAD, head, "bdc", [5, 5, None]),
    ]
    extra = {"last_sites": ["head", "backbone.fc"]}
    write_injections(TEXT / "injections.parquet", struck, model="text", limit=limit, label=label, extra=extra)


def compared(config: Config = CONFIG) -> tuple[dict, dict, list[str]]:
    notes = Notes()
    result = run(config, notes)
    assert store.read(result.path, COMPARISON).table.to_pylist() == result.rows
    own, common = result.rows
    assert (own["images"], common["images"]) == ("own", "common")
    return own, common, notes.said


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


def test_choices_that_differ_are_told():
    baseline()
    text(limit="zero", struck=[(B_FC, "bb", "bc", [1, 1])], label="golden")
    own, _, notes = compared(replace(CONFIG, allow_different=["limit", "label"]))
    assert notes == [
        "net-text-descriptions has no fault at head, so no estimate of its last layer",
        "net-text-descriptions was injected with --limit zero, net-baseline with clamp",
        "net-text-descriptions was injected with --label golden, net-baseline with true",
    ]
    assert own["last_layer"] is own["sdc_last_layer"] is own["median_last_layer"] is None
    assert own["overall"] == pytest.approx(7)


RANGES = {"dataset": "toys", "used": "train", "images": 60, "pool": "0" * 64}


def pair(*, config: dict | None = None, extra: dict | None = None) -> None:
    """Two identical runs except for a recorded setting of the candidate's campaign."""
    baseline()
    text()
    extra = {"last_sites": ["head", "backbone.fc"]} | (extra or {})
    struck = [(B_CONV, "bbb", "bcd", [1, 3, 2]), (B_FC, "bbb", "bcd", [0.5, 1.5, 1]), (HEAD, "bsb", "bdc", [5, 5, 5])]
    write_injections(TEXT / "injections.parquet", struck, model="text", config=config, extra=extra)


@pytest.mark.parametrize(
    ("name", "facts", "told"),
    [
        ("limit", {"config": {"limit": "zero"}}, "injected with --limit zero, net-baseline with clamp"),
        ("limit", {"config": {"limit": "none"}}, "injected with --limit none, net-baseline with clamp"),
        ("label", {"config": {"label": "golden"}}, "injected with --label golden, net-baseline with true"),
        ("targets", {"config": {"targets": "conv"}}, "injected with --targets conv, net-baseline with None"),
        ("all-images", {"config": {"all_images": True}}, "injected with --all-images True, net-baseline with None"),
        ("format", {"extra": {"format": "bfloat16"}}, "injected with values in bfloat16, net-baseline with float32"),
        ("format", {"extra": {"format": "int8"}}, "injected with values in int8, net-baseline with float32"),
        (
            "ranges",
            {"extra": {"ranges": RANGES | {"images": 8, "pool": "1" * 64}}},
            "limited to ranges of 8 images of train, net-baseline to 60 images of train",
        ),
        (
            "ranges",
            {"extra": {"ranges": RANGES | {"used": "test", "pool": "1" * 64}}},
            "limited to ranges of 60 images of test, net-baseline to 60 images of train",
        ),
        (
            "ranges",  # as many images of the same split, but different ones
            {"extra": {"ranges": RANGES | {"pool": "1" * 64}}},
            "60 images of train (digest 111111111111), net-baseline to 60 images of train (digest 000000000000)",
        ),
    ],
)
def test_what_changes_the_faults_or_their_judgement_is_refused_unless_allowed(name, facts, told):
    pair(**facts)
    arguments = ("compare", "net-baseline", "net-text-descriptions", "--dataset", "digits", "--json")
    with pytest.raises(TgrError) as refused:
        invoke(*arguments)
    assert told in str(refused.value)
    assert (
        f'Run "tgr inject" on both with the same settings, or compare them nevertheless with --allow-different {name}'
        in str(refused.value)
    )
    assert not (FOLDER / "comparison.parquet").exists()
    shown = invoke(*arguments, "--allow-different", name)
    assert told in shown.stderr
    (difference,) = json.loads(shown.stdout)["differences"]
    assert (difference["name"], difference["refused"]) == (name, False)
    kept = store.describe(FOLDER / "comparison.parquet")[1]
    assert kept.extra["differences"] == [difference]
    assert kept.config["allow_different"] == [name]
    ours = {**facts.get("config", {}), **facts.get("extra", {})}.get("format", "float32")
    assert kept.extra["formats"] == {"net-baseline": "float32", "net-text-descriptions": ours}


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"extra": {"pool": "a", "images": 40, "used": "test"}}, "injected on 40 images of test, net-baseline on all"),
        (
            {"extra": {"format": None}},
            "injected with values in a number format that is not recorded, net-baseline with float32",
        ),
        ({"config": {"sampling": "stratified"}}, "injected with --sampling stratified, net-baseline with uniform"),
        ({"config": {"engine": "full"}}, "injected with --engine full, net-baseline with None"),
        ({"extra": {"ranges": {}}}, "ranges of images that are not recorded, net-baseline to 60 images of train"),
    ],
)
def test_what_leaves_figures_comparable_is_told(facts, told):
    pair(**facts)
    _, _, notes = compared()
    assert len(notes) == 1
    assert told in notes[0]


def test_preprocessing_belongs_to_the_model_and_is_told_value_by_value():
    images = {"a": 0.1, "b": 0.8, "c": 0.7, "d": 0.3}
    pair(extra={"preprocessing": {"crop": 16, "mean": [0.5], "resize": 18}})
    ours, theirs = ({"crop": crop, "mean": [mean], "resize": 18} for crop, mean in ((16, 0.5), (8, 0.4)))
    write_golden(TEXT / "golden.parquet", images, "a", run=TEXT.name, model="text", preprocessing=ours)
    baseline(preprocessing=theirs)
    struck = [(CONV, "sbb", "abc", [6, 4, 2]), (FC, "sbs", "abc", [6, 10, 14])]
    extra = {"last_sites": ["fc"], "preprocessing": theirs}
    write_injections(BASELINE / "injections.parquet", struck, model="base", extra=extra)
    _, _, notes = compared()
    assert notes == [
        "net-text-descriptions was injected with images prepared with crop 16, mean [0.5], net-baseline with "
        "crop 8, mean [0.4]"
    ]


def test_two_differences_are_refused_in_one_sentence_and_names_are_checked():
    pair(config={"limit": "zero", "label": "golden"})
    with pytest.raises(TgrError, match=r"zero, .*clamp; .* golden, .*true: .* --allow-different limit --allow-diff"):
        run(CONFIG)
    with pytest.raises(TgrError, match="golden, net-baseline with true: a factor would measure that, too"):
        run(replace(CONFIG, allow_different=["limit"]))
    with pytest.raises(TgrError, match=r'--allow-different is "limits"; use one of .* Did you mean "limit"\?'):
        replace(CONFIG, allow_different=["limits"])


def test_ranges_of_a_campaign_that_did_not_record_their_images_are_found_beside_it():
    pair()
    for folder, images in ((BASELINE, 60), (TEXT, 8)):
        columns = {c: [1.0] for c in RANGES_SCHEMA.arrow.names} | {"site": ["conv"]}
        facts = {"extra": {"used": "train", "images": images, "pool": f"{images}"}}
        store.write(folder / "ranges.parquet", RANGES_SCHEMA, columns, store.provenance_for(RANGES_SCHEMA, **facts))
        for kind in (INJECTIONS, VULNERABILITY):
            artifact = store.read(folder / f"{kind.kind}.parquet", kind)
            said = artifact.provenance
            extra = {name: value for name, value in said.extra.items() if name != "ranges"}
            inputs = {"ranges": sha256_file(folder / "ranges.parquet")}
            if kind is VULNERABILITY:
                inputs = {"injections": sha256_file(folder / "injections.parquet")}
            columns = {name: artifact.table[name].to_pylist() for name in kind.arrow.names}
            store.write(artifact.path, kind, columns, replace(said, extra=extra, inputs=inputs))
    with pytest.raises(TgrError, match="limited to ranges of 8 images of train, net-baseline to 60 images of train"):
        run(CONFIG)


def test_enough_faults_make_the_factors_reliable():
    images = {f"{number:02d}": 0.5 for number in range(40)}
    for folder, model, size in ((BASELINE, "base", 2.0), (TEXT, "text", 1.0)):
        write_golden(folder / "golden.parquet", images, run=folder.name, model=model)
        write_injections(folder / "injections.parquet", [(FC, "b" * 40, list(images), [size] * 40)], model=model)
    own, common, _ = compared()
    assert own["last_layer_reliable"] is own["overall_reliable"] is common["overall_reliable"] is True
    assert own["last_layer"] == common["overall"] == common["overall_low"] == pytest.approx(2)


def test_the_command_prints_the_tables_and_the_json():
    baseline()
    text()
    arguments = ("compare", BASELINE, "net-text-descriptions", "--dataset", "digits")
    shown = invoke(*arguments)
    assert (shown.exit_code, shown.stderr) == (0, "wrote runs/digits/comparison.parquet\n")
    for words in (
        "~2.00 (",
        "~7.14 (",
        "75.00 (+0.00)",
        "+350",
        "rests on too little",
        "Accuracy: not distinguishable; images that net-text-descriptions alone gets right: 1, net-baseline alone: 1",
        "~ marks intervals that rest on too little",
    ):
        assert words in shown.stdout
    printed = json.loads(invoke(*arguments, "--json", "--quiet").stdout)
    assert [row["images"] for row in printed["rows"]] == ["own", "common"]


def no_golden() -> None:
    text()
    BASELINE.mkdir(parents=True)


def no_injections() -> None:
    baseline()
    text()
    RunFolder(TEXT).injections.unlink()


def no_vulnerability() -> None:
    baseline()
    text()
    RunFolder(TEXT).vulnerability.unlink()


def other_model() -> None:
    text()
    baseline(model="other")


def other_campaign() -> None:
    text()
    baseline()
    kept = RunFolder(BASELINE).vulnerability.read_bytes()
    baseline(limit="zero")
    RunFolder(BASELINE).vulnerability.write_bytes(kept)


def other_images() -> None:
    text()
    baseline(top2diff={"a": 0.1, "b": 0.1, "c": 0.1})


def other_labels() -> None:
    text()
    baseline(label=1)


def other_preprocessing() -> None:
    text()
    baseline(preprocessing={"crop": 8})
    write_injections(
        BASELINE / "injections.parquet", [(FC, "s", "a", [6])], model="base", extra={"preprocessing": {"crop": 16}}
    )


def other_classes() -> None:
    text()
    baseline(classes="0" * 64)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (text, r"there is no run \"net-baseline\" in runs/digits; it holds net-text-descriptions"),
        (no_golden, r"net-baseline/golden.parquet does not exist; run \"tgr evaluate\" first"),
        (no_injections, r"net-text-descriptions/injections.parquet does not exist; run \"tgr inject\" first"),
        (no_vulnerability, r"net-text-descriptions/vulnerability.parquet does not exist; run \"tgr inject\" first"),
        (
            other_model,
            r"injections.parquet was made with the model other, .*golden.parquet with base; make both with one",
        ),
        (other_campaign, r"vulnerability.parquet was not made from .*injections.parquet; run \"tgr inject\" again"),
        (other_images, r"golden.parquet holds 3 images, .*golden.parquet 4, 3 of them the same, labels included; run"),
        (other_labels, r"golden.parquet holds 4 images, .*golden.parquet 4, 0 of them the same, labels included; run"),
        (
            other_preprocessing,
            r"injections.parquet was made on images prepared with crop 16, but 8 for .*golden.parquet; run \"tgr eval",
        ),
        (other_classes, r"are of other classes \(SHA-256 000000000000 and \w{12}\); compare models of one data set"),
    ],
)
def test_each_mistake_is_told_in_a_sentence(made, words):
    made()
    with pytest.raises(TgrError, match=words):
        run(CONFIG)
    assert not (FOLDER / "comparison.parquet").exists()


def test_a_run_is_named_once():
    baseline()
    with pytest.raises(TgrError, match='two of the runs are called "net-baseline"; name each once, or rename'):
        run(Config(baseline="net-baseline", candidates=[str(BASELINE)], dataset="digits"))


def test_faults_in_neurons_are_not_compared_with_faults_in_tensors():
    baseline()
    text()
    write_injections(TEXT / "injections.parquet", [(HEAD, "bsb", "bcd", [1, 2, 3])], model="text", target="weight")
    with pytest.raises(TgrError, match="net-text-descriptions was injected with --target weight, net-baseline with ne"):
        run(CONFIG)
    assert not (FOLDER / "comparison.parquet").exists()


def test_a_candidate_is_needed():
    with pytest.raises(TgrError, match="no candidate to compare with the baseline; name at least one run more"):
        Config(baseline="net-baseline", candidates=[])


def test_a_gate_that_nothing_could_pass_or_fail_is_refused():
    with pytest.raises(TgrError, match="--min-improvement is nan; it must be a factor of 0 or more"):
        Config(baseline="net-baseline", candidates=["other"], min_improvement=float("nan"))


def measured(folder: Path, model: str, size: float, *, images_differ: bool = False) -> None:
    """A run with one site and 40 images with two faults each: dLoss 0.5 and 1.5 times `size`, every fault an SDC."""
    names = [f"{number:02d}" for number in range(40)]
    write_golden(folder / "golden.parquet", dict.fromkeys(names, 0.5), run=folder.name, model=model)
    struck = names + (names if images_differ else names[::-1])
    dloss = [0.5 * size, 1.5 * size] * 40
    write_injections(folder / "injections.parquet", [(FC, "s" * 80, struck, dloss)], model=model)


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


def test_every_factor_has_a_name_in_words():
    assert set(comparison.FACTORS) == set(FACTORS)


def gated(*options: object) -> Any:
    return invoke("compare", "net-baseline", "net-text-descriptions", "--dataset", "digits", "-q", *options)


@pytest.mark.parametrize(
    ("minimum", "code", "verdict", "said"),
    [
        (1.5, 0, "passed", ""),
        (2, 3, "undecided", "tgr: gate undecided: net-text-descriptions's improvement (overall) is 2 ("),
        (3, 3, "failed", "below the gate of 3\n"),
    ],
)
def test_a_gate_sets_the_exit_code(minimum, code, verdict, said):
    measured(BASELINE, "base", 2.0)
    measured(TEXT, "text", 1.0, images_differ=True)
    shown = gated("--min-improvement", minimum, "--json")
    assert shown.exit_code == code
    assert json.loads(shown.stdout)["gate"]["verdict"] == verdict
    assert said in shown.stderr
    assert (shown.stderr == "") is (verdict == "passed")


def test_a_gate_is_on_the_factor_that_is_named_and_all_candidates_are_to_pass():
    measured(BASELINE, "base", 2.0)
    measured(TEXT, "text", 1.0)
    measured(FOLDER / "net-cosine", "cosine", 4.0)
    alone = gated("--min-improvement", 1, "--gate-on", "sdc_overall", "--json")
    assert (alone.exit_code, json.loads(alone.stdout)["gate"]["verdict"]) == (0, "passed")
    both = invoke(
        *("compare", "net-baseline", "net-text-descriptions", "net-cosine"),
        *("--dataset", "digits"),
        *("--min-improvement", 1),
    )
    assert both.exit_code == 3
    assert "tgr: gate failed: net-text-descriptions's improvement (overall) is 2" in both.stderr
    with pytest.raises(TgrError, match=r'--gate-on is "overal"; use one of last_layer, .* Did you mean "overall"'):
        gated("--min-improvement", 1, "--gate-on", "overal")
    with pytest.raises(TgrError, match="--gate-on overall names a factor without a gate; set one with --min-improve"):
        gated("--gate-on", "overall")


def test_the_table_of_candidates_goes_into_documents_alone():
    measured(BASELINE, "base", 2.0)
    measured(TEXT, "text", 1.0)
    arguments = ("compare", "net-baseline", "net-text-descriptions", "--dataset", "digits")
    told = invoke(*arguments, "--markdown")
    assert told.stdout == (
        "| candidate             | accuracy of the baseline (%) | accuracy (gain) (%) | parameters added | MACs added "
        "|      last layer (×) |         overall (×) | Top2Diff of the baseline | Top2Diff | verdict on mean dLoss "
        "| verdict on SDC rate |\n"
        "| --------------------- | ---------------------------: | ------------------: | ---------------: | ---------: "
        "| ------------------: | ------------------: | -----------------------: | -------: | --------------------- "
        "| ------------------- |\n"
        "| net-text-descriptions |                       100.00 |      100.00 (+0.00) |               +9 |         +0 "
        "| 2.00 (2.00 to 2.00) | 2.00 (2.00 to 2.00) |                      0.5 |      0.5 | better                "
        "| not distinguishable |\n"
    )
    assert "wrote runs/digits/comparison.parquet\nthe factors are of mean dLoss, with 99 % intervals" in told.stderr
    assert invoke(*arguments, "--latex", "-q").stdout.splitlines()[4] == (
        r"net-text-descriptions & 100.00 & 100.00 (+0.00) & +9 & +0 & 2.00 (2.00 to 2.00) & 2.00 (2.00 to 2.00) & 0.5 "
        r"& 0.5 & better & not distinguishable \\"
    )


@pytest.mark.parametrize("formats", [("--json", "--latex"), ("--markdown", "--latex"), ("--json", "--markdown")])
def test_one_format_at_once(formats):
    shown = CliRunner().invoke(app, ["compare", "a", "b", *formats])
    assert shown.exit_code == 2
    assert "--json, --markdown and --latex exclude each other" in shown.stderr


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
