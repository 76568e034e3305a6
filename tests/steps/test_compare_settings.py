"""`tgr compare` of runs whose settings differ: what is refused, allowed, told."""

import json
from dataclasses import replace

import pytest
from toys_artifacts import invoke, write_golden, write_injections
from toys_comparison import B_CONV, B_FC, BASELINE, CONFIG, CONV, FC, FOLDER, HEAD, TEXT, baseline, compared, text

from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.artifacts.schemas import INJECTIONS, VULNERABILITY
from tgr_cli.artifacts.schemas import RANGES as RANGES_SCHEMA
from tgr_cli.errors import TgrError
from tgr_cli.steps.compare import run


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
