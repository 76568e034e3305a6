"""Campaigns in the stored integers of quantised models, through the command line."""

import json
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import toys_artifacts
from quantised import Int8Net
from toys_artifacts import invoke, toy_options

from tgr_cli.errors import TgrError

RUN = Path("runs/toy/quantised-build-baseline")
WEIGHTS = ("--target", "weight", "--sampling", "uniform", "--injections", 20, "--images-per-fault", 3)
inject = partial(toys_artifacts.inject, model="quantised:build")


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    return toy_options(tmp_path / "toy")


def test_a_campaign_strikes_the_bytes_that_the_model_stores(toy: list[str]) -> None:
    told = inject(toy, *WEIGHTS, "--verify", 60)
    assert told["verified"] == 60
    assert [row["site"] for row in told["sites"]] == ["conv1.weight_int8", "conv2.weight_int8", "fc.weight_int8"]
    model, found = Int8Net(), pq.read_table(RUN / "injections-weight.parquet").to_pylist()
    assert len(found) == 3 * 20 * 3
    for row in found:
        word = int(model.get_buffer(row["site"])[tuple(row["index"])])
        flipped = int((torch.tensor(word, dtype=torch.uint8) ^ (1 << row["bit"])).view(torch.int8))
        assert (row["value_before"], row["value_flipped"], row["value_after"]) == (word, flipped, flipped)
    metadata = json.loads(pq.read_schema(RUN / "injections-weight.parquet").metadata[b"tgr"])
    assert metadata["extra"]["struck_format"] == {
        "name": "stored int8",
        "width": 8,
        "fields": {"sign": [7, 7], "value": [0, 6]},
    }
    assert metadata["config"]["limit"] == "format"


def test_importance_sampling_of_stored_weights_estimates_what_uniform_sampling_does(toy: list[str]) -> None:
    few = ("--target", "weight", "--images-per-fault", 3, "--injections")
    told = [
        inject(toy, *few, number, "--sampling", sampling, "--verify", 30, "--out", f"{sampling}.parquet")
        for sampling, number in (("importance", 300), ("uniform", 300))
    ]
    by_importance, uniform = (figures["network"]["mean_dloss"] for figures in told)
    assert uniform["low"] < by_importance["mean"] < uniform["high"]
    assert by_importance["low"] < uniform["mean"] < by_importance["high"]
    assert by_importance["high"] - by_importance["low"] < 0.7 * (uniform["high"] - uniform["low"])
    bits = [row["bit"] for row in pq.read_table("importance.parquet").to_pylist()]
    assert bits.count(7) > 4 * bits.count(0)


def test_neurons_of_a_model_that_rounds_its_own_values_equal_full(toy: list[str]) -> None:
    told = inject(toy, "--sampling", "uniform", "--injections", 20, "--verify", 60, "--limit", "clamp")
    assert told["verified"] == 60


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((*WEIGHTS, "--encode", "bf16"), r"are words already \(stored int8\); leave --encode out"),
        ((*WEIGHTS, "--fault-model", "random-value"), r"hold words \(stored int8\); use --fault-model random"),
        ((*WEIGHTS, "--weight-format", "bf16"), r"stores its weights as integers already \(stored int8\); leave --we"),
        (("--format", "bf16"), r"rounds what it computes itself \(round\); leave --format out"),
    ],
)
def test_what_needs_real_values_is_refused(toy: list[str], options: tuple[object, ...], words: str) -> None:
    with pytest.raises(TgrError, match=words):
        inject(toy, *options)


def test_the_population_of_a_stored_weight_has_8_bits_an_element() -> None:
    asked = ("sites", "--model", "quantised:build", "--num-classes", 3, "--crop", 8, "--mean", "0.5", "--std", "0.5")
    told = json.loads(invoke(*asked, "--target", "weight", "--margin", "0.1", "--json").stdout)
    assert [(row["neurons"], row["population"]) for row in told] == [(36, 288), (216, 1728), (72, 576)]


def test_campaigns_of_a_quantised_model_and_of_another_are_not_compared_in_silence(toy: list[str]) -> None:
    for model in ("quantised:build", "toys:toy_net"):
        inject(toy, "--sampling", "uniform", "--injections", 4, "--limit", "clamp", model=model)
        invoke("evaluate", "--model", model, *toy[:4], *toy[6:], "--quiet")
    with pytest.raises(TgrError, match=r"float32, weights in stored int8"):
        invoke("compare", RUN, RUN.with_name("toys-toy_net-baseline"))


def test_evaluation_is_that_of_the_model_itself_and_says_what_it_stores(toy: list[str]) -> None:
    told = json.loads(invoke("evaluate", "--model", "quantised:build", *toy[:4], *toy[6:], "--quiet", "--json").stdout)
    assert (told["format"], told["weight_format"]) == ("float32", "stored int8")
