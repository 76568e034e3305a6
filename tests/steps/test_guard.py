"""`tgr guard`: the protected model is a run of its own, made from ranges or chosen maps, and told when it cannot be."""

import json
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from toys import CLASSES, toy_net, write_toy_dataset
from toys_artifacts import invoke
from toys_folder import trained

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.artifacts.schemas import ACTIVATION_RANGES, PROTECTION
from tgr_cli.errors import TgrError
from tgr_cli.models.card import ModelCard
from tgr_cli.models.weights import fingerprint, read_state_dict

TOY = "--model toys:build_toy --dataset parquet:toy"
PLAIN = RunFolder(Path("runs/toy/toys-build_toy-baseline"))
OWN = {"model": PLAIN.path.name, "fingerprint": fingerprint(toy_net())}
FLR = OWN | {"technique": "flr", "criterion": None, "threshold": None}


@pytest.fixture(autouse=True)
def _runs() -> None:
    write_toy_dataset(Path("toy"))
    trained(PLAIN, "toys:build_toy", toy_net(), CLASSES)


def tgr(command: str) -> str:
    result = invoke(*shlex.split(f"{command} {TOY}"))
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def protection(name: str) -> list[dict]:
    card = ModelCard.read(RunFolder(PLAIN.path.with_name(f"{PLAIN.path.name}-{name}")).card)
    assert card.protection is not None
    assert card.variant == name
    return card.protection


def chosen(*entries: dict) -> Path:
    """Write a `protection` artifact with these chosen points, and no rows."""
    row = {c: [0.5] for c in PROTECTION.arrow.names}
    for column in PROTECTION.columns:
        row[column.name] = [{"string": "x", "bool": True, "int64": 1}.get(str(column.type), 0.5)]
    extra = {"chosen": list(entries), "formats": {}}
    return store.write(Path("chosen.parquet"), PROTECTION, row, store.provenance_for(PROTECTION, extra=extra))


def test_ranges_after_activations_are_those_of_hooks() -> None:
    """And the range of an in-place activation is that of what it gives."""
    tgr("profile-ranges --after-activations")
    rows = pq.read_table(PLAIN.activation_ranges).to_pylist()
    assert [(row["operation"], row["function"]) for row in rows] == [
        ("relu#1", "relu"),
        ("pool#1", "max_pool2d"),
        ("relu#2", "relu"),
        ("pool#2", "max_pool2d"),
    ]
    assert all(row["min"] == 0 and row["max"] > 0 for row in rows)
    assert rows[0]["max"] == rows[1]["max"]  # the largest value is the maximum of its window


def test_ranger_changes_nothing_without_a_fault_and_bounds_the_rest() -> None:
    tgr("profile-ranges --after-activations")
    said = tgr("guard --technique ranger")
    assert "toys-build_toy-baseline-ranger: bounds on 4 operations, clip" in said
    assert '"tgr compare toys-build_toy-baseline toys-build_toy-baseline-ranger" then sets both side by side' in said
    (bounds,) = protection("ranger")
    rows = pq.read_table(PLAIN.activation_ranges).to_pylist()
    assert bounds["ranges"] == {row["operation"]: [row["min"], row["max"]] for row in rows}
    tgr("evaluate --train-data toy/train.parquet --eval-data toy/train.parquet --out plain.parquet")
    tgr("evaluate --variant ranger --train-data toy/train.parquet --eval-data toy/train.parquet --out ranger.parquet")
    assert pq.read_table("plain.parquet").column("loss") == pq.read_table("ranger.parquet").column("loss")
    made = read_state_dict(RunFolder(PLAIN.path.with_name(f"{PLAIN.path.name}-ranger")).weights)
    assert all(torch.equal(made[name], value) for name, value in toy_net().state_dict().items())
    assert fingerprint(toy_net()) == ModelCard.read(PLAIN.card).fingerprint


def test_several_techniques_and_a_name() -> None:
    tgr("profile-ranges --after-activations --out elsewhere.parquet")
    tgr("guard --technique clip --technique relu6 --ranges elsewhere.parquet --save-as both")
    clip, six = protection("both")
    assert sorted(clip["ranges"]) == ["relu#1", "relu#2"]
    assert clip["outside"] == "zero"
    assert six["ranges"] == {"relu#1": [0.0, 6.0], "relu#2": [0.0, 6.0]}
    tgr("evaluate --variant both")


def test_maps_that_protect_chose_are_computed_twice() -> None:
    point = FLR | {"order": "dloss"}
    maps = {"maps": {"conv1": [2, 0], "conv2": []}}
    other = {"fingerprint": fingerprint(toy_net(3))}
    chosen(point | maps, point | {"technique": "ilr", "maps": None}, point | maps | other)
    printed = json.loads(
        invoke(
            *shlex.split(f"guard {TOY} --technique flr --on-error flag --protection chosen.parquet --json -q")
        ).stdout
    )
    assert printed["guards"] == ["duplication of 2 channels, flag"]
    assert protection("flr") == [{"technique": "duplication", "channels": {"conv1": [0, 2]}, "answer": "flag"}]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "--technique ranger",
            r"activation_ranges.parquet does not exist; run .tgr profile-ranges --after-activations",
        ),
        ("--technique magic", r"--technique .magic. is unknown|magic"),
        ("--technique relu6 --technique relu6", "given twice"),
        ("--technique ranger --technique clip", "ranger and clip guard the same values"),
        ("--technique relu6 --on-error zero", "relu6 leaves no choice; leave it out"),
        ("--technique abft --on-error median", "is median, and abft answers with rerun, zero, flag; give one of them"),
        (
            "--technique parity --technique abft --on-error rerun",
            "is rerun, and parity answers with median, zero, flag",
        ),
        ("--technique abft --on-error again", '"again"; use one of'),
        ("--technique relu6 --ranges a.parquet", "--ranges is given, and relu6 does not use it"),
        ("--technique flr", r"protection.parquet does not exist; run .tgr protect."),
        ("--technique relu6 --save-as s3", "reads as another part of a run's name"),
    ],
)
def test_what_cannot_be_made_is_told(command: str, words: str) -> None:
    with pytest.raises(TgrError, match=words):
        tgr(f"guard {command}")
    assert sorted(path.name for path in PLAIN.path.parent.iterdir()) == [PLAIN.path.name]


def test_ranges_of_another_model_and_a_run_that_exists_are_refused() -> None:
    tgr("profile-ranges --after-activations --out own.parquet")
    trained(PLAIN, "toys:build_toy", toy_net(3), CLASSES)
    with pytest.raises(TgrError, match="holds the ranges of another model"):
        tgr("guard --technique ranger --ranges own.parquet")
    kept = store.read(Path("own.parquet"), ACTIVATION_RANGES)
    columns = kept.table.slice(1).to_pydict()
    facts = {"model": fingerprint(toy_net()), "classes": kept.provenance.classes, "extra": kept.provenance.extra}
    store.write(Path("fewer.parquet"), ACTIVATION_RANGES, columns, store.provenance_for(ACTIVATION_RANGES, **facts))
    trained(PLAIN, "toys:build_toy", toy_net(), CLASSES)
    with pytest.raises(TgrError, match='has no range of "relu#1"'):
        tgr("guard --technique ranger --ranges fewer.parquet")
    with pytest.raises(TgrError, match="interpolation bilinear, but bicubic here"):
        tgr("guard --technique ranger --ranges own.parquet --interpolation bicubic")
    tgr("guard --technique relu6")
    with pytest.raises(TgrError, match="exists already"):
        tgr("guard --technique relu6")
    with pytest.raises(TgrError, match="protected already"):
        tgr("guard --technique relu6 --variant relu6")


def test_two_sets_of_maps_are_not_guessed_between() -> None:
    point = FLR | {"maps": {"conv1": [0]}}
    chosen(point | {"order": "dloss"}, point | {"order": "mismatch"})
    with pytest.raises(TgrError, match="holds 2 sets of feature maps that flr chose"):
        tgr("guard --technique flr --protection chosen.parquet")


def test_maps_that_cannot_be_computed_twice_are_told() -> None:
    chosen(FLR | {"order": "dloss", "maps": {"conv1": [0], "fc": [1]}})
    with pytest.raises(TgrError, match=r'channels of "fc" are chosen, which is a linear layer, .* with --targets conv'):
        tgr("guard --technique flr --protection chosen.parquet")
    chosen(FLR | {"order": "dloss", "maps": {"conv1": []}})
    with pytest.raises(TgrError, match=r"has no feature map, .*; run .tgr protect. with --technique flr, or"):
        tgr("guard --technique flr --protection chosen.parquet")


def test_after_activations_takes_no_format() -> None:
    with pytest.raises(TgrError, match="leave out --format"):
        tgr("profile-ranges --after-activations --format int8")
    assert ACTIVATION_RANGES.command == "tgr profile-ranges --after-activations"


@pytest.mark.parametrize("technique", ["abft", "parity", "secded", "tmr-head"])
def test_techniques_that_need_nothing_else(technique: str) -> None:
    tgr(f"guard --technique {technique}")
    (stored,) = protection(technique)
    layers = ["fc"] if technique == "tmr-head" else ["conv1", "conv2", "fc"]
    tensors = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert stored["tensors" if technique in ("parity", "secded") else "operations"] in (layers, tensors)
    said = tgr(f"evaluate --variant {technique} --json")
    assert "is protected: " in said
    assert stored["technique"] == {"abft": "checksum", "tmr-head": "voting"}.get(technique, "encoding")
