"""Campaigns through the command line: artifacts, plans, replay, fault lists, limits and gates."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from processes import tgr
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS, VULNERABILITY
from tgr_cli.campaign import subject
from tgr_cli.errors import TgrError
from tgr_cli.faults import hooked
from tgr_cli.metrics.outcomes import OUTCOMES

RUN = Path("runs/toy/toys-build_toy-baseline")


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    """Return the options of a campaign on three sites of the toy network."""
    folder = write_toy_dataset(tmp_path / "toy")
    grey = ["--crop", "8", "--mean", "0.5", "--std", "0.5"]
    return ["--model", "toys:build_toy", "--dataset", f"parquet:{folder}", "--weights", "none", *grey]


def inject(toy: list[str], *more: object) -> dict:
    done = invoke("inject", *toy, "--label", "golden", "--batch-size", 8, "--quiet", "--json", *more)
    return json.loads(done.stdout)


@pytest.mark.parametrize(("memory", "taken"), [("1GiB", 32), ("50KiB", 4), ("1KiB", 1)])
def test_a_forward_pass_takes_as_many_images_as_suit_the_memory(toy: list[str], memory: str, taken: int) -> None:
    drawn = ("--label", "golden", "--injections", 4, "--sampling", "uniform")
    told = invoke("inject", *toy, *drawn, "--memory", memory).stderr
    least = "is less than the graph, a forward pass and one image take, about 385 MiB: images are taken one by one"
    assert (f"--memory {memory} {least}" in told) is (memory != "1GiB")
    config = store.read(RUN / "injections.parquet", INJECTIONS).provenance.config
    # The toy's widest layer is the ReLU after conv1: 256 values in, 256 out.
    assert config["batch_size"] == taken


def test_a_campaign_writes_a_row_a_fault_and_a_row_a_site(toy: list[str]) -> None:
    told = inject(toy, "--injections", 40, "--sampling", "uniform")
    injections, vulnerability = (
        store.read(RUN / "injections.parquet", INJECTIONS),
        store.read(RUN / "vulnerability.parquet", VULNERABILITY),
    )
    assert injections.table.num_rows == told["faults"] == 120
    rows = vulnerability.table.to_pylist()
    assert [(row["site"], row["op"], row["neurons"], row["macs"]) for row in rows] == [
        ("conv1", "conv", 256, 2304),
        ("conv2", "conv", 96, 3456),
        ("fc", "linear", 3, 72),
    ]
    for row in rows:
        assert row["faults"] == sum(row[outcome] for outcome in OUTCOMES) == 40
        at_site = injections.table.filter(pq.read_table(RUN / "injections.parquet")["site"].to_numpy() == row["site"])
        np.testing.assert_allclose(row["mean_dloss"], np.mean(at_site["dloss"].to_numpy()))
        assert row["sdc_rate_low"] <= row["sdc_rate"] <= row["sdc_rate_high"]
    assert vulnerability.provenance.inputs["injections"] == injections.sha256
    assert injections.provenance.extra["last_sites"] == ["fc"]
    assert injections.provenance.config["sampling"] == "uniform"
    assert [site["site"] for site in injections.provenance.extra["sites"]] == ["conv1", "conv2", "fc"]
    for name in ("injections", "vulnerability"):
        record = json.loads((RUN / f"{name}.run.json").read_text())
        assert record["options"]["injections"] == {"value": 40, "from": "command line"}
        assert record["options"]["limit"] == {"value": "clamp", "from": "default"}


def test_equal_campaigns_give_equal_bytes_wherever_they_are_written(toy: list[str], tmp_path: Path) -> None:
    inject(toy, "--injections", 20)
    before = (RUN / "injections.parquet").read_bytes()
    inject(toy, "--injections", 20, "--out", tmp_path / "elsewhere" / "x.parquet", "--workers", 1)
    assert (tmp_path / "elsewhere" / "x.parquet").read_bytes() == before
    (tmp_path / "moved").mkdir()
    moved = shutil.move(tmp_path / "toy", tmp_path / "moved" / "toy")
    inject([*toy, "--dataset", f"parquet:{moved}"], "--injections", 20, "--out", tmp_path / "y.parquet")
    assert (tmp_path / "y.parquet").read_bytes() == before
    assert (tmp_path / "elsewhere" / "x-vulnerability.parquet").exists()


def test_values_are_held_to_the_range_of_their_site(toy: list[str]) -> None:
    inject(toy, "--injections", 60)
    ranges = pq.read_table(RUN / "ranges.parquet")
    bound = dict(zip(ranges["site"].to_pylist(), ranges["max_abs"].to_pylist(), strict=True))
    rows = pq.read_table(RUN / "injections.parquet").to_pylist()
    assert all(abs(row["value_after"]) <= bound[row["site"]] for row in rows)
    assert any(not abs(row["value_flipped"]) <= bound[row["site"]] for row in rows)
    inside = [row for row in rows if abs(row["value_flipped"]) <= bound[row["site"]]]
    assert all(row["value_after"] == row["value_flipped"] for row in inside)


def test_a_campaign_that_profiles_for_itself_loads_and_captures_its_model_once(
    toy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    for module, name in ((subject, "load"), (hooked, "capture")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, _real=real, _name=name, **k: calls.append(_name) or _real(*a, **k))
    inject(toy, "--injections", 2, "--sampling", "uniform")
    assert calls == ["load", "capture"]
    own = (RUN / "ranges.parquet").read_bytes()
    invoke("profile-ranges", *toy, "--images", 1024, "--batch-size", 8)
    assert (RUN / "ranges.parquet").read_bytes() == own


def test_a_row_replayed_comes_out_as_it_is_stored(toy: list[str]) -> None:
    inject(toy, "--injections", 20)
    before = (RUN / "injections.parquet").read_bytes()
    for row in (0, 25, 59):
        told = inject(toy, "--replay", row)
        assert told["agrees"] is True
        assert told["again"]["value_flipped"] == told["stored"]["value_flipped"]
    assert (RUN / "injections.parquet").read_bytes() == before
    with pytest.raises(TgrError, match=r"has rows 0 to 59, no row 60; choose one of them"):
        inject(toy, "--replay", 60)


def test_a_replay_needs_the_ranges_and_the_preprocessing_of_its_campaign(toy: list[str]) -> None:
    inject(toy, "--injections", 2)
    with pytest.raises(TgrError, match=r"was run on images prepared with std \[0.5\], but \[0.25\] now; give the same"):
        inject([*toy[:-1], "0.25"], "--replay", 0)
    (RUN / "ranges.parquet").unlink()
    with pytest.raises(TgrError, match=r"was limited by ranges that are no longer at .*ranges.parquet; name them with"):
        inject(toy, "--replay", 0)
    assert not (RUN / "ranges.parquet").exists()


def test_a_replay_that_comes_out_otherwise_is_an_error(toy: list[str]) -> None:
    inject(toy, "--injections", 20)
    artifact = store.read(RUN / "injections.parquet", INJECTIONS)
    columns = artifact.table.to_pydict()
    columns["outcome"] = ["sdc" if outcome != "sdc" else "benign" for outcome in columns["outcome"]]
    store.write(RUN / "injections.parquet", INJECTIONS, columns, artifact.provenance)
    with pytest.raises(TgrError, match=r"row 3 is stored as \w+ and came out as \w+; check that weights"):
        inject(toy, "--replay", 3)


def test_the_faults_of_a_campaign_can_be_run_again_as_a_list(toy: list[str], tmp_path: Path) -> None:
    inject(toy, "--injections", 20)
    again = tmp_path / "again.parquet"
    for engine in ("full", "pytorchfi"):
        listed = ("--faults", RUN / "injections.parquet", "--engine", engine, "--out", again)
        told = invoke("inject", *toy, "--label", "golden", "--batch-size", 8, *listed)
        assert f"the figures describe the faults that {RUN / 'injections.parquet'} lists, not the model" in told.stderr
        first, second = (pq.read_table(path).to_pylist() for path in (RUN / "injections.parquet", again))
        for name in ("site", "index", "bit", "image_id", "value_before", "value_flipped", "value_after", "outcome"):
            assert [str(row[name]) for row in second] == [str(row[name]) for row in first], name  # NaN equals NaN


def test_without_linear_targets_no_convolution_passes_for_the_last_layer(toy: list[str]) -> None:
    inject(toy, "--injections", 2, "--targets", "conv")
    assert store.read(RUN / "injections.parquet", INJECTIONS).provenance.extra["last_sites"] == []


def test_a_gate_decides_the_exit_code(toy: list[str]) -> None:
    told = invoke("inject", *toy, "--label", "golden", "--injections", 200, "--max-sdc-rate", 0.0001, "--json", "-q")
    assert told.exit_code == 3
    assert json.loads(told.stdout)["gate"]["verdict"] in ("failed", "undecided")
    assert re.fullmatch(r"tgr: gate \w+: the network's sdc \+ non_finite rate is .* gate of 0.0001\n", told.stderr)
    assert (RUN / "vulnerability.parquet").exists()
    passed = invoke("inject", *toy, "--label", "golden", "--injections", 200, "--max-sdc-rate", 1, "--json")
    assert passed.exit_code == 0
    assert json.loads(passed.stdout)["gate"]["verdict"] == "passed"


def test_ranges_of_another_model_are_refused_by_naming_both(toy: list[str]) -> None:
    invoke("profile-ranges", *toy)
    artifact = store.read(RUN / "ranges.parquet", store.KINDS["ranges"])
    foreign = store.provenance_for(store.KINDS["ranges"], model="f" * 64)
    store.write(RUN / "ranges.parquet", store.KINDS["ranges"], artifact.table, foreign)
    with pytest.raises(TgrError, match=r"holds the ranges of another model \(fingerprint ffffffffffff, this model has"):
        inject(toy, "--ranges", RUN / "ranges.parquet")


def test_ranges_of_images_prepared_otherwise_are_refused(toy: list[str]) -> None:
    invoke("profile-ranges", *toy)
    with pytest.raises(TgrError, match=r"profiled on images prepared with std \[0.5\], but \[0.25\] in this campaign"):
        inject([*toy[:-1], "0.25"])


def test_only_correctly_classified_images_are_struck(toy: list[str]) -> None:
    invoke("evaluate", *toy)
    golden = pq.read_table(RUN / "golden.parquet").to_pylist()
    right = {row["image_id"] for row in golden if row["prediction"] == row["label"]}
    invoke("inject", *toy, "--injections", 100)
    assert {row["image_id"] for row in pq.read_table(RUN / "injections.parquet").to_pylist()} == right
    invoke("inject", *toy, "--injections", 100, "--all-images", "--restart")
    struck = pq.read_table(RUN / "injections.parquet").to_pylist()
    assert {row["image_id"] for row in struck} == {row["image_id"] for row in golden}


def test_a_mean_dloss_gate_needs_a_range_limit(toy: list[str]) -> None:
    with pytest.raises(TgrError, match="--max-dloss needs a range limit"):
        inject(toy, "--limit", "none", "--max-dloss", 0.1)


def test_a_user_sees_a_table_and_where_the_artifacts_are(toy: list[str], tmp_path: Path) -> None:
    seen = tgr("inject", *toy, "--injections", 10, "--label", "golden", cwd=tmp_path)
    assert (seen.code, seen.err.count("Traceback")) == (0, 0), seen.err
    assert "conv1" in seen.out
    assert "network, mean over sites: SDC rate " in seen.out
    assert "the same over sites whose output depends on the image" not in seen.out  # in the toy, all outputs do
    assert "wrote runs/toy/toys-build_toy-baseline/injections.parquet" in seen.err
    assert "no ranges of toys-build_toy-baseline yet: profiling it" in seen.err


def test_without_a_range_limit_the_mean_dloss_is_said_to_be_no_figure(toy: list[str]) -> None:
    told = "without a range limit a few faults dominate every mean dLoss"
    some = [*toy, "--label", "golden", "--injections", 4, "--sampling", "uniform"]
    assert told in " ".join(invoke("inject", *some, "--limit", "none").stderr.split())
    assert told not in " ".join(invoke("inject", *some, "--restart").stderr.split())


def test_a_wrong_model_is_told_before_a_missing_data_set() -> None:
    with pytest.raises(TgrError, match=r'there is no model "vgg16_bm".*Did you mean "vgg16_bn"\?'):
        invoke("inject", "--model", "vgg16_bm")
    with pytest.raises(TgrError, match=r"imagenet has no evaluation images: data/imagenet/val was looked for"):
        invoke("inject", "--model", "vgg16_bn")
