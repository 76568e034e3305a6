"""Faults in formats whose values share scales, and in the scales themselves, through the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from toys_artifacts import invoke, toy_options

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.errors import TgrError
from tgr_cli.steps.report import _struck_format

FOLDER = Path("runs/toy/toys-build_toy-baseline")
SCALE = ("--strike", "scale", "--sampling", "uniform", "--injections", 24)


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    """Return the options of a campaign on the toys."""
    return ["--model", "toys:build_toy", *toy_options(tmp_path / "toy")]


def inject(toy: list[str], *more: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    told = json.loads(invoke("inject", *toy, "--quiet", "--json", "--out", "i.parquet", "--restart", *more).stdout)
    return told, pq.read_table("i.parquet").to_pylist()


@pytest.mark.parametrize("sampling", ["importance", "uniform"])
@pytest.mark.parametrize("option", ["--format", "--encode"])
def test_words_of_blocks_are_struck(toy: list[str], option: str, sampling: str) -> None:
    told, rows = inject(toy, option, "mxfp8_e4m3", "--injections", 40, "--sampling", sampling, "--verify", 120)
    assert told["verified"] == 120
    assert {row["bit"] for row in rows} <= set(range(8))
    for row in rows:
        before, after = row["value_before"], row["value_flipped"]
        if option == "--format" and row["bit"] == 7:  # the sign of a value that the format holds
            assert after == -before
        if row["bit"] == 0 and option == "--format" and before and np.isfinite(after):
            assert 0.5 <= abs(after / before) <= 2
    again = invoke("inject", *toy, option, "mxfp8_e4m3", "--faults", "i.parquet", "--replay", 7, "--json")
    assert json.loads(again.stdout)["agrees"]


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        (("--format", "mxfp4_e2m1"), 8),
        (("--format", "bfp:m=3,block=2"), 8),
        (("--format", "mxfp6_e2m3", "--sampling", "stratified", "--pilot", 16), 8),
        (("--format", "adaptivfloat"), 8),
        (("--format", "int8"), 32),
        (("--encode", "int8"), 32),
        (("--encode", "mxint8"), 8),
        (("--weight-format", "mxfp4_e2m1", "--target", "weight", "--images-per-fault", 2), 8),
        (("--weight-format", "int8:channel", "--target", "weight", "--images-per-fault", 2), 32),
    ],
)
def test_scales_are_struck(toy: list[str], options: tuple[str, ...], bits: int) -> None:
    told, rows = inject(toy, *SCALE, *options, "--verify", 72)
    assert told["verified"] == 72
    artifact = store.read(Path("i.parquet"), INJECTIONS)
    assert artifact.provenance.config["strike"] == "scale"
    assert artifact.provenance.extra["struck_format"]["width"] == bits
    assert {row["bit"] for row in rows} <= set(range(bits))
    assert json.loads(invoke("inject", *toy, *options[:2], "--faults", "i.parquet", "--replay", 3, "--json").stdout)[
        "agrees"
    ]
    for row in rows if bits == 8 and options[0] != "--encode" else ():  # a shared exponent
        if row["value_before"] and 0 < abs(row["value_flipped"]) < np.inf:
            assert abs(np.log2(row["value_flipped"] / row["value_before"])) == 2 ** row["bit"]


def test_scales_of_other_values_are_other_faults(toy: list[str]) -> None:
    inject(toy, *SCALE, "--encode", "mxfp8_e4m3")
    listed = ("inject", *toy, "--strike", "scale", "--faults", "i.parquet", "--out", "again.parquet", "--encode")
    for other in ("mxfp4_e2m1", "mxfp8_e5m2"):  # their scales are words of the same format
        with pytest.raises(
            TgrError, match=f"holds faults in scales of mxfp8_e4m3, and here they are scales of {other}"
        ):
            invoke(*listed, other)
    invoke(*listed, "MXFP8_E4M3")
    assert _struck_format(store.read(Path("i.parquet"), INJECTIONS))["name"].endswith(", scale of mxfp8_e4m3")


def test_groups_are_drawn_alike_and_all_that_share_a_scale_change(toy: list[str]) -> None:
    _, rows = inject(toy, "--format", "bfp:m=7,block=2", *SCALE, "--limit", "none")
    at_conv1 = [row for row in rows if row["site"] == "conv1"]
    assert {row["index"][0] for row in at_conv1} == {0, 2}  # blocks of two of four channels
    words = [("--faults", "one.csv", "--limit", "none", "--format", "bfp:m=7,block=2", "--strike", "scale")]
    index, image = at_conv1[0]["index"], at_conv1[0]["image_id"]
    outcomes = []
    for channel in (index[0], index[0] + 1):  # either element of the block names it
        place = " ".join(map(str, [channel, *index[1:]]))
        Path("one.csv").write_text(f"site,index,choice,image_id\nconv1,{place},1,{image}\n")
        outcomes.append(inject(toy, *words[0])[1][0]["faulty_loss"])
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (SCALE, "--strike is scale, and float32 has none; name a format with a scale by --format"),
        ((*SCALE, "--format", "bfloat16"), "--strike is scale, and bfloat16 has none"),
        (("--strike", "scale", "--format", "int8"), "--sampling importance weighs single elements"),
        ((*SCALE, "--format", "int8", "--pattern", "row"), "--strike scale changes all values that share the scale"),
        ((*SCALE, "--format", "int8", "--limit", "format"), "--strike scale changes what the format's range is"),
        ((*SCALE, "--format", "int8", "--fault-model", "random-value"), "random-value draws a value, not a scale"),
        (("--surface", "int8", "--strike", "scale"), "--surface strikes single neurons under many kinds"),
        (
            ("--surface", "int8:channel"),
            "--surface is int8:channel, which has a scale for each channel of a stored tensor",
        ),
        (("--strike", "exponent"), '--strike is "exponent"; use one of element, scale'),
        (("--format", "mxint8"), "--format is mxint8, whose shared exponents cannot be told from values that"),
        (
            ("--encode", "int8:channel"),
            "--encode is int8:channel, which has a scale for each channel of a stored tensor",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(toy: list[str], options: tuple[str, ...], words: str) -> None:
    with pytest.raises(TgrError) as told:
        invoke("inject", *toy, *options)
    assert words in str(told.value)
    assert not (FOLDER / "injections.parquet").exists()


def test_tensors_are_encoded_with_the_scales_of_their_blocks(toy: list[str]) -> None:
    weights = ("--target", "weight", "--images-per-fault", 2, "--injections", 20, "--sampling", "uniform")
    for name in ("int8:channel", "mxfp8_e4m3"):
        stored, encoded = (
            inject(toy, option, name, *weights, "--fault-model", "flip:field=sign")[1]
            for option in ("--weight-format", "--encode")
        )
        for one, other in zip(stored, encoded, strict=True):
            np.testing.assert_allclose(one["value_flipped"], other["value_flipped"], rtol=1e-6)
