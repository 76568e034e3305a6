"""`tgr inject` with fault models, `--encode`, `--format` and `--surface`, through the command line."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from toys_artifacts import invoke, toy_options

from tgr_cli.artifacts import store
from tgr_cli.artifacts.fault_facts import faults_in_words, formats_in_words
from tgr_cli.artifacts.schemas import INJECTIONS, SURFACE
from tgr_cli.errors import TgrError

RUN = Path("runs/toy/toys-build_toy-baseline")
MIXTURE = '[mixture]\n"flip:field=exponent" = 3\n"stuck:at=1" = 1\n'


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    """Return the options of a campaign on the toys."""
    Path("mixture.toml").write_text(MIXTURE)
    return ["--model", "toys:build_toy", *toy_options(tmp_path / "toy"), "--quiet"]


def injected(toy: list[str], *more: str) -> list[dict[str, Any]]:
    ran = invoke("inject", *toy, "--injections", "20", "--verify", "20", "--json", *more)
    assert json.loads(ran.stdout)["verified"] == 20
    return pq.read_table(RUN / "injections.parquet").to_pylist()


def words(values: list[float], dtype: torch.dtype, integer: torch.dtype) -> np.ndarray:
    return torch.tensor(values).to(dtype).view(integer).numpy()


def test_a_burst_strikes_neighbouring_bits_of_the_encoded_value(toy: list[str]) -> None:
    rows = injected(toy, "--fault-model", "burst:length=3", "--encode", "bf16", "--limit", "none")
    before, after = (
        words([row[name] for row in rows], torch.bfloat16, torch.int16) for name in ("value_before", "value_flipped")
    )
    assert [row["bit"] for row in rows] == [row["choice"] for row in rows]
    np.testing.assert_array_equal(before ^ after, np.array([7 << row["bit"] for row in rows], np.uint16).view(np.int16))
    said = store.read(RUN / "injections.parquet", INJECTIONS).provenance
    assert said.extra["fault_model"] == said.config["fault_model"] == "burst:length=3"
    assert said.extra["struck_format"]["name"] == "bfloat16"
    assert said.extra["struck_format"]["fields"] == {"sign": [15, 15], "exponent": [7, 14], "mantissa": [0, 6]}


def test_a_mixture_is_recorded_by_what_it_mixes_and_a_row_is_replayed_with_its_file(toy: list[str]) -> None:
    rows = injected(toy, "--fault-model", "mixture.toml")
    assert max(row["choice"] for row in rows) < 8 + 32
    assert store.read(RUN / "injections.parquet", INJECTIONS).provenance.extra["fault_model"] == (
        "mixture of 0.75 flip:field=exponent, 0.25 stuck:at=1"
    )
    replayed = invoke("inject", *toy, "--replay", "3", "--fault-model", "mixture.toml", "--json")
    assert json.loads(replayed.stdout)["agrees"]
    with pytest.raises(TgrError, match=r"was run with --fault-model mixture of .*; give the same, a mixture"):
        invoke("inject", *toy, "--replay", "3")
    with pytest.raises(TgrError, match=r"holds faults of the model mixture of 0\.75 flip:field=exponent"):
        invoke("inject", *toy, "--faults", str(RUN / "injections.parquet"), "--out", "again.parquet")


def test_an_int8_network_needs_no_range_limit(toy: list[str]) -> None:
    loud = [option for option in toy if option != "--quiet"]
    ran = invoke("inject", *loud, "--injections", "20", "--format", "int8", "--fault-model", "random", "--verify", "20")
    assert "int8 holds nothing beyond the range that it was fitted to: no range limit is applied" in ran.stderr
    found = store.read(RUN / "injections-int8.parquet", INJECTIONS)
    assert found.provenance.config["limit"] == "format"
    ranges = pq.read_table(RUN / "ranges.parquet").to_pydict()
    steps = {
        site: max(-low, high) / 127
        for site, low, high in zip(*(ranges[n] for n in ("site", "min", "max")), strict=True)
    }
    for row in found.table.to_pylist():
        for name in ("value_before", "value_flipped", "value_after"):
            code = row[name] / steps[row["site"]]
            assert abs(code - round(code)) < 1e-4
            assert -128 <= round(code) <= 127
        word = row["choice"] - 256 if row["choice"] >= 128 else row["choice"]
        assert round(row["value_after"] / steps[row["site"]]) == word
        assert row["bit"] == -1


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        (["--format", "int8"], "no --weight-format"),
        (["--format", "fp16", "--weight-format", "int8:channel"], "int8:channel"),
    ],
)
def test_a_row_of_a_deployed_model_is_replayed_with_its_formats(
    toy: list[str], options: list[str], weights: str
) -> None:
    invoke("inject", *toy, "--injections", "8", "--out", "of_format.parquet", *options)
    for again in (options, [], ["--batch-size", "0"]):
        replayed = invoke("inject", *toy, "--replay", "3", "--faults", "of_format.parquet", "--json", *again)
        assert json.loads(replayed.stdout)["agrees"]
    with pytest.raises(TgrError, match=f"--weight-format is int4, but of_format.parquet was run with {weights}"):
        invoke("inject", *toy, "--replay", "3", "--faults", "of_format.parquet", "--weight-format", "int4")


def test_scales_fitted_to_other_ranges_are_noticed(toy: list[str]) -> None:
    own = [option for option in toy if option not in ("--label", "golden")]
    invoke("profile-ranges", *own)
    invoke("inject", *toy, "--injections", "8", "--format", "int8")
    invoke("inject", *toy, "--injections", "8", "--format", "int8", "--plan-only", "--out", "plan.parquet")
    invoke("profile-ranges", *own, "--images", "3")
    with pytest.raises(TgrError, match="scales were fitted to other ranges"):
        invoke("inject", *toy, "--format", "int8", "--replay", "3")
    with pytest.raises(TgrError, match=r"plan\.parquet was drawn with .*calibration\.ranges"):
        invoke("inject", *toy, "--format", "int8", "--plan", "plan.parquet")


def test_names_of_one_format_are_the_same_setting(toy: list[str]) -> None:
    invoke("inject", *toy, "--injections", "8", "--encode", "bf16", "--plan-only", "--out", "plan.parquet")
    invoke("inject", *toy, "--encode", "bfloat16", "--plan", "plan.parquet")
    replayed = invoke("inject", *toy, "--replay", "3", "--encode", "bf16", "--json")
    assert json.loads(replayed.stdout)["agrees"]


def test_listed_faults_are_not_taken_for_faults_in_another_format(toy: list[str]) -> None:
    invoke("inject", *toy, "--injections", "8", "--encode", "bf16", "--out", "of_bf16.parquet")
    listed = ("--faults", "of_bf16.parquet", "--out", "again.parquet")
    with pytest.raises(TgrError, match="holds faults in words of bfloat16, and here they are words of float32"):
        invoke("inject", *toy, *listed)
    invoke("inject", *toy, *listed, "--encode", "bf16")


def test_ranges_that_nothing_uses_are_told(toy: list[str]) -> None:
    invoke("inject", *toy, "--injections", "8")
    loud = [option for option in toy if option != "--quiet"]
    ran = invoke("inject", *loud, "--injections", "8", "--format", "int8", "--ranges", str(RUN / "ranges.parquet"))
    assert "ranges.parquet is not used: no limit applies" in " ".join(ran.stderr.split())


def test_one_surface_serves_many_formats(toy: list[str]) -> None:
    kinds = ("float32", "int8", "bf16/random", "int8/zero")
    chosen = [part for kind in kinds for part in ("--surface", kind)]
    shown = json.loads(invoke("inject", *toy, "--injections", "120", "--json", *chosen).stdout)
    rows = store.read(RUN / "surface.parquet", SURFACE).table.to_pylist()
    assert shown["rows"] == rows
    assert [(row["format"], row["fault_model"]) for row in rows[:4]] == [
        ("float32", "flip"),
        ("int8", "flip"),
        ("bfloat16", "random"),
        ("int8", "zero"),
    ]
    assert [row["site"] for row in rows[::4]] == ["", "conv1", "conv2", "fc"]
    assert [row["anchors"] for row in rows[::4]] == [180, 60, 60, 60]
    for row in rows:
        assert 0 <= row["sdc_rate_low"] <= row["sdc_rate"] <= row["sdc_rate_high"] <= 1
        assert 0 <= row["mean_dloss_low"] <= row["mean_dloss"] <= row["mean_dloss_high"]
    for number, options in enumerate((["--encode", "float32"], ["--encode", "int8"])):
        direct = json.loads(
            invoke("inject", *toy, "--injections", "600", "--json", "--out", "direct.parquet", *options).stdout
        )["network"]["mean_dloss"]
        ours = rows[number]
        assert ours["mean_dloss_low"] <= direct["high"]
        assert direct["low"] <= ours["mean_dloss_high"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--encode int8 --format int8", "--encode stores a struck value of a model that computes as it is"),
        ("--encode int9", '--encode is "int9"'),
        ("--fault-model flip:field=exponent --format int8", "the fields of int8 are sign, value"),
        ("--limit format", "--limit format is for formats with a range of their own, and float32 has none"),
        ("--format fp16 --limit none --max-dloss 1", "--max-dloss needs a range limit"),
        ("--surface int8 --surface int8/flip", "--surface names int8/flip twice"),
        ("--surface int8 --format int8", "leave out --format"),
        ("--surface bf16 --limit none", "bfloat16 holds values beyond any range"),
        ("--surface int8 --surface fixed:int=3,frac=4 --limit format", "and fixed:int=3,frac=4 has none; use --limit"),
        ("--encode int32", "--encode is int32, which holds whole numbers alone, without a scale"),
        ("--surface int64/zero", "--surface is int64, which holds whole numbers alone"),
        ("--surface int8 --sampling uniform", "--sampling does nothing beside --surface"),
        ("--sampling stratified --fault-model zero", "divides faults by bit, and zero strikes no single one"),
        ("--sampling stratified --fault-model flip:bits=8 --encode int8", "and flip:bits=8 strikes no single one"),
        ("--surface mxfp8_e4m3", "mxfp8_e4m3 shares scales among neighbours"),
    ],
)
def test_what_does_not_go_together_is_refused(options: str, sentence: str, toy: list[str]) -> None:
    with pytest.raises(TgrError, match=re.escape(sentence)):
        invoke("inject", *toy, *options.split())
    assert not list(RUN.glob("injections*")) + list(RUN.glob("surface*"))


def test_faults_in_scales_are_named_with_the_format_of_the_values(toy: list[str]) -> None:
    scales = ("--strike", "scale", "--sampling", "uniform", "--injections", "8", "--out", "of_scales.parquet")
    for options, formats in ((["--encode", "int8"], "float32, struck in int8"), (["--format", "int8"], "int8")):
        invoke("inject", *toy, *scales, *options)
        said = store.read(Path("of_scales.parquet"), INJECTIONS).provenance
        assert formats_in_words(said) == formats
        assert faults_in_words(said) == "flip, in scales"
