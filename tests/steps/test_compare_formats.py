"""`tgr compare`, `tgr top2diff-sweep` and `tgr merge` of models that are deployed in number formats."""

import json
from pathlib import Path
from typing import Any

import pytest
from toys_artifacts import invoke, site, stored_in, write_golden, write_injections

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import COMPARISON
from tgr_cli.errors import TgrError

NET = Path("runs/digits/net-baseline")
IMAGES = {"a": 0.5, "b": 0.6, "c": 0.1, "d": 0.2}
RANGES = {"dataset": "toys", "used": "train", "images": 60, "pool": "0" * 64}
COMPARE = ("compare", "net-baseline", "net-baseline-int8", "--dataset", "digits", "--json")


def measured(
    suffix: str = "", *, wrong: str = "d", dloss: float = 2.0, model: str = "net", folder: Path = NET, **facts: Any
) -> None:
    """Write a run's golden and injections under a suffix: faults on a, b and c, one of them an SDC."""
    extra = dict(facts.get("extra", {}))
    told = {name: extra[name] for name in ("format", "rounded", "weight_format") if name in extra}
    write_golden(folder / f"golden{suffix}.parquet", IMAGES, wrong, run="net-baseline", model=model, extra=told)
    struck = [(site("conv", "conv"), "sbb", "abc", [dloss] * 3), (site("fc"), "sbb", "abc", [2 * dloss] * 3)]
    facts |= {"model": model, "extra": extra}
    write_injections(folder / f"injections{suffix}.parquet", struck, **facts)


INT8 = stored_in("int8") | {"ranges": {}, "calibration": RANGES}


def test_two_formats_of_one_model_are_compared_and_that_is_said() -> None:
    measured()
    measured("-int8", wrong="cd", dloss=0.5, limit="format", extra=INT8)
    done = invoke(*COMPARE)
    own = json.loads(done.stdout)["rows"][0]
    assert (own["baseline"], own["candidate"]) == ("net-baseline", "net-baseline-int8")
    assert (own["accuracy_baseline"], own["accuracy_candidate"]) == (0.75, 0.5)
    assert own["overall"] == pytest.approx(4)
    assert own["only_baseline_correct"] == 1
    assert own["params_delta"] == own["macs_delta"] == 0
    said = " ".join(done.stderr.split())
    assert (
        "net-baseline-int8 was injected with values in int8, net-baseline with float32 (one model in two formats, "
        "which the factors compare)"
    ) in said
    assert "--limit format, net-baseline with clamp (format: the number format itself holds nothing beyond" in said
    assert "ranges of" not in said  # the scales are fitted to the images of the range limits
    kept = store.read(Path("runs/digits/comparison.parquet"), COMPARISON).provenance
    assert kept.extra["formats"] == {"net-baseline": "float32", "net-baseline-int8": "int8"}
    assert {each["name"]: each["refused"] for each in kept.extra["differences"]} == {"limit": False, "format": False}
    assert kept.config["candidates"] == ["net-baseline-int8"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "fault-model": (
        {"config": {"fault_model": "random"}},
        "was injected with --fault-model random, net-baseline with flip",
    ),
    "limit": ({"limit": "zero"}, "was injected with --limit zero, net-baseline with clamp"),
    "ranges": (
        {"limit": "format", "extra": INT8 | {"calibration": RANGES | {"images": 8, "pool": "1" * 64}}},
        "was limited to ranges of 8 images of train, net-baseline to 60 images of train",
    ),
    "format": ({"model": "other", "limit": "format"}, "was injected with values in int8, net-baseline with float32"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_two_formats_are_not_compared_with_unless_allowed(name: str) -> None:
    facts, told = REFUSED[name]
    measured()
    measured("-int8", **{"extra": INT8} | facts)
    with pytest.raises(TgrError) as refused:
        invoke(*COMPARE)
    assert str(refused.value).startswith(f"net-baseline-int8 {told}: a factor would measure that, too")
    assert f"with --allow-different {name}" in str(refused.value)
    differences = json.loads(invoke(*COMPARE, "--allow-different", name).stdout)["differences"]
    assert not any(each["refused"] for each in differences)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"weight_format": "int8:channel"}, "values in float32, weights in int8:channel, net-baseline with float32 ("),
        ({"struck_format": stored_in("bfloat16", 16)["struck_format"]}, "values in float32, struck in bfloat16, net-"),
        (stored_in("bfloat16", 16) | {"weight_format": "int8"}, "values in bfloat16, weights in int8, net-baseline"),
    ],
)
def test_each_way_in_which_formats_differ_is_said(facts: dict[str, Any], words: str) -> None:
    measured()
    measured(extra=facts, folder=Path("runs/digits/net-other"))
    done = invoke("compare", "net-baseline", "net-other", "--dataset", "digits", "--json")
    (difference,) = json.loads(done.stdout)["differences"]
    assert words in difference["sentence"]
    assert difference["refused"] is False


def test_campaigns_of_two_targets_are_never_compared() -> None:
    measured()
    struck = [(site("conv.weight", "weight"), "sbb", "abc", [1, 1, 1])]
    write_injections(NET / "injections-weight.parquet", struck, model="net", target="weight")
    with pytest.raises(TgrError, match="--target weight, net-baseline with neuron, which cannot be compared; run"):
        invoke("compare", "net-baseline", "net-baseline-weight", "--dataset", "digits", "--allow-different", "format")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("pattern", "row", "was injected with --pattern row, net-baseline with element: a factor would measure that"),
        ("granularity", "map", "was injected with --granularity map, net-baseline with site: a factor would measure"),
        ("lasting", True, "was injected with --lasting True, net-baseline with False, which cannot be compared; run"),
    ],
)
def test_where_and_how_long_faults_strike_is_compared_too(name: str, value: object, told: str) -> None:
    measured()
    measured("-int8", limit="format", extra=INT8, config={name: value})
    with pytest.raises(TgrError) as refused:
        invoke(*COMPARE)
    assert str(refused.value).startswith(f"net-baseline-int8 {told}")


def test_faults_of_one_format_do_not_meet_the_golden_run_of_another() -> None:
    measured()
    measured("-int8", extra=INT8, limit="format")
    write_golden(NET / "golden-int8.parquet", IMAGES, "d", run="net-baseline", model="net", extra={"format": "int8"})
    with pytest.raises(TgrError, match="was made of a model with outputs of conv,linear in int8, but the m"):
        invoke(*COMPARE)


def test_a_measurement_that_lacks_a_file_says_which_and_how_it_is_made() -> None:
    measured()
    measured("-int8", extra=INT8, limit="format")
    (NET / "golden-int8.parquet").unlink()
    made = 'does not exist; run "tgr evaluate" with the number formats of that deployment first'
    with pytest.raises(TgrError, match=f"net-baseline/golden-int8.parquet {made}"):
        invoke(*COMPARE)
    struck = [(site("conv.weight", "weight"), "sbb", "abc", [1, 1, 1])]
    path = write_injections(NET / "injections-weight.parquet", struck, model="net", target="weight")
    path.with_name("vulnerability-weight.parquet").unlink()
    with pytest.raises(TgrError, match='run "tgr inject" with --target weight first'):
        invoke("compare", "net-baseline-weight", "net-baseline", "--dataset", "digits")


def test_the_sweep_takes_deployments_by_name_by_file_and_by_default() -> None:
    measured()
    measured("-int8", wrong="cd", extra=INT8, limit="format")
    both = ["net-baseline", "net-baseline-int8"]
    by_name = [part for name in both for part in ("--run", name)]
    files = [part for end in ("", "-int8") for part in ("--golden", str(NET / f"golden{end}.parquet"))]
    files += [part for end in ("", "-int8") for part in ("--injections", str(NET / f"injections{end}.parquet"))]
    rows = []
    for arguments in ([], by_name, files):
        done = json.loads(invoke("top2diff-sweep", "--dataset", "digits", "--json", *arguments).stdout)
        assert done["models"] == both
        rows.append(done["rows"])
    assert rows[0] == rows[1] == rows[2]
    assert {row["model"]: row["accuracy"] for row in rows[0] if row["threshold"] == 0} == dict(
        zip(both, (0.75, 0.5), strict=True)
    )
    with pytest.raises(TgrError, match="was made of a model with outputs of conv,linear in int8, but the model as it"):
        invoke("top2diff-sweep", "--dataset", "digits", *files[:2], *files[6:])
