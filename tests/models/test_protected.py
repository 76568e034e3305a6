"""Models whose card names guards: loaded under them, struck under them, and told apart in what is measured."""

import dataclasses
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from toys import CLASSES, toy_net, write_toy_dataset
from toys_artifacts import invoke
from toys_folder import TOY, trained

from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.errors import TgrError
from tgr_cli.guards import stored
from tgr_cli.guards.bounds import Bounds
from tgr_cli.guards.checksum import Checksum
from tgr_cli.guards.duplication import Duplication
from tgr_cli.guards.encoding import Code, Encoding, WrongWord, encoded
from tgr_cli.guards.guard import Guard
from tgr_cli.guards.voting import Voting
from tgr_cli.models.card import ModelCard

PLAIN = RunFolder(Path("runs/toy/toys-build_toy-baseline"))
ALL = Duplication({"conv1": (0, 1, 2, 3), "conv2": (0, 1, 2, 3, 4, 5)}, "flag")


def protect(name: str, *guards: Guard) -> RunFolder:
    """Write a variant of the toy that runs under guards, beside the plain one."""
    run = RunFolder(PLAIN.path.with_name(f"{PLAIN.name}-{name}"))
    trained(run, "toys:build_toy", toy_net(), CLASSES)
    card = ModelCard.read(run.card)
    dataclasses.replace(card, variant=name, protection=stored.to_json(guards)).write(run.card)
    return run


@pytest.fixture(autouse=True)
def _runs() -> None:
    write_toy_dataset(Path("toy"))
    trained(PLAIN, "toys:build_toy", toy_net(), CLASSES)


def tgr(command: str) -> str:
    result = invoke(*shlex.split(f"{command} {TOY}"))
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def struck(out: str) -> dict[str, list[object]]:
    return pq.read_table(out).to_pydict()


@pytest.mark.parametrize("engine", ["auto", "full"])
def test_every_fault_in_a_duplicated_map_is_found(engine: str) -> None:
    protect("dup", ALL)
    said = tgr(f"inject --variant dup --injections 40 --engine {engine} --verify 10 --out dup.parquet")
    assert "is protected: duplication of 10 channels, flag" in said
    assert "no fault strikes" not in said
    rows = struck("dup.parquet")
    outcomes: dict[object, list[object]] = {"conv1": [], "conv2": [], "fc": []}
    names = ("site", "outcome", "value_before", "value_after")
    for site, outcome, before, after in zip(*(rows[name] for name in names), strict=True):
        if before != after:
            outcomes[site].append(outcome)
    assert len(outcomes["conv1"]) > 20
    assert set(outcomes["conv1"] + outcomes["conv2"]) == {"non_finite"}
    assert "non_finite" not in outcomes["fc"]


def test_computing_again_masks_what_it_guards_and_nothing_else() -> None:
    protect("again", Duplication({"conv2": (1, 4)}, "rerun"))
    options = "inject --injections 60 --sampling uniform --all-images --limit none"
    tgr(f"{options} --variant again --out again.parquet")
    tgr(f"{options} --out plain.parquet")
    guarded, plain = struck("again.parquet"), struck("plain.parquet")
    seen = 0
    for n, (site, index) in enumerate(zip(plain["site"], plain["index"], strict=True)):
        assert (guarded["site"][n], guarded["index"][n]) == (site, index)
        if site == "conv2" and index[0] in (1, 4):
            assert guarded["outcome"][n] == "masked"
            seen += 1
        else:
            assert guarded["dloss"][n] == pytest.approx(plain["dloss"][n], rel=1e-4, abs=1e-6)
    assert seen > 10


def coded(name: str, code: Code, answer: WrongWord) -> None:
    """Write a variant whose tensors are encoded."""
    guard = Encoding(tuple(name for name, _ in toy_net().named_parameters()), code, answer)
    run = protect(name, guard)
    model = toy_net()
    for tensor in model.parameters():
        tensor.data = encoded(tensor, code)
    trained(run, "toys:build_toy", model, CLASSES)
    dataclasses.replace(ModelCard.read(run.card), variant=name, protection=stored.to_json([guard])).write(run.card)


def test_every_fault_of_an_encoded_tensor_is_corrected_or_found() -> None:
    options = "inject --injections 20 --images-per-fault 2 --limit none --verify 10"
    for code, answer, outcome in (("secded", "zero", "masked"), ("parity", "flag", "non_finite")):
        coded(code, code, answer)  # type: ignore[arg-type]
        for target in ("weight", "bias"):
            said = tgr(f"{options} --target {target} --variant {code} --out {code}.parquet")
            assert f"is protected: {code} of 6 stored tensors, {answer}" in said
            rows = struck(f"{code}.parquet")
            assert set(rows["outcome"]) == {outcome}
            assert {f"{layer}.{target}" for layer in ("conv1", "conv2", "fc")} == set(rows["site"])


@pytest.mark.parametrize(
    ("code", "options", "words"),
    [
        ("secded", "", "by secded as they are read, and --limit clamp changes a struck word before that check"),
        ("parity", "--limit zero", "by parity as they are read, and --limit zero changes .*; use --limit none"),
        ("secded", "--limit none --encode int8", "and --encode int8 strikes words of another format; leave --encode"),
    ],
)
def test_what_changes_other_bits_of_an_encoded_value_is_refused(code: Code, options: str, words: str) -> None:
    coded("coded", code, "zero")
    with pytest.raises(TgrError, match=words):
        tgr(f"inject --target bias --injections 2 --variant coded {options}")
    assert not list(PLAIN.path.with_name(f"{PLAIN.name}-coded").glob("injections*"))


@pytest.mark.parametrize("guard", [Voting(("fc",)), Checksum(("fc",), "rerun"), Checksum(("fc",), "flag")])
def test_a_checked_last_layer_has_no_exhaustive_campaign(guard: Guard) -> None:
    protect("checked", guard)
    with pytest.raises(TgrError, match="fc is not proportional to the logits, as the guards of the protected model"):
        tgr("inject --variant checked --exhaustive last")


def test_checksums_and_votes_are_the_same_on_every_engine() -> None:
    protect("sums", Checksum(("conv1", "conv2"), "flag"), Voting(("fc",)))
    for engine in ("auto", "full"):
        tgr(f"inject --variant sums --injections 60 --limit none --engine {engine} --out {engine}.parquet")
    fast, full = struck("auto.parquet"), struck("full.parquet")
    assert fast["outcome"] == full["outcome"]
    for one, other in zip(fast["dloss"], full["dloss"], strict=True):
        assert one is other is None or one == pytest.approx(other, rel=1e-4, abs=1e-6)
    for site, outcome, dloss in zip(*(full[name] for name in ("site", "outcome", "dloss")), strict=True):
        assert outcome == "masked" if site == "fc" else outcome != "sdc"
        assert isinstance(dloss, float) == (outcome != "non_finite")
        assert not isinstance(dloss, float) or abs(dloss) < 1e-4  # what is not found is within rounding


def test_commands_that_run_a_model_take_a_protected_one() -> None:
    run = protect("bounded", Bounds({"relu#1": (0.0, 0.2), "relu#2": (0.0, 0.2)}), ALL)
    tgr("evaluate")
    tgr("evaluate --variant bounded")
    plain, bounded = (pq.read_table(each.golden) for each in (PLAIN, run))
    assert plain.column("loss") != bounded.column("loss")
    tgr("cam --variant bounded --images 2 --layer conv2")
    said = tgr(f"evaluate --checkpoint {run.weights} --out other.parquet")
    assert "classes, head, preprocessing and guards of" in said
    assert pq.read_table("other.parquet").column("loss") == bounded.column("loss")


def test_artifacts_of_a_protected_model_are_those_of_another_model() -> None:
    """And so the ranges of the plain one, of equal weights, are not taken for its own."""
    protect("dup", ALL)
    tgr("profile-ranges --out ranges.parquet")
    with pytest.raises(TgrError, match="holds the ranges of another model"):
        tgr("inject --variant dup --ranges ranges.parquet")


def test_a_card_that_does_not_fit_is_refused() -> None:
    protect("other", Duplication({"conv3": (0,)}))
    with pytest.raises(TgrError, match=r"runs no such conv there \(it has conv1, conv2\)"):
        tgr("evaluate --variant other")
    run = protect("damaged", ALL)
    dataclasses.replace(ModelCard.read(run.card), protection=[{"technique": "duplication"}]).write(run.card)
    with pytest.raises(TgrError, match="is damaged; protect the model anew"):
        tgr("evaluate --variant damaged")


def test_a_card_without_protection_keeps_its_bytes() -> None:
    assert "protection" not in PLAIN.card.read_text()
    assert ModelCard.read(PLAIN.card).identity == ModelCard.read(PLAIN.card).fingerprint


def test_other_weights_under_a_protected_models_name_are_refused() -> None:
    run = protect("again", Duplication({"conv2": (1, 4)}, "rerun"))
    torch.save(toy_net(5).state_dict(), "other.pt")
    with pytest.raises(TgrError, match="again is a protected model, and --checkpoint or --weights gives other weights"):
        tgr("evaluate --variant again --checkpoint other.pt --head baseline")
    tgr(f"evaluate --variant again --checkpoint {run.weights}")
