"""`--target weight|bias|buffer` through the command line, and models that torch.export cannot trace."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from toys import toy_net
from toys_artifacts import formats_of, inject, invoke, toy_options

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.errors import TgrError

RUNS = Path("runs/toy")
RUN = RUNS / "toys-build_toy-baseline"
WEIGHTS = ("--target", "weight", "--sampling", "uniform", "--injections", 20, "--images-per-fault", 5)


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    return toy_options(tmp_path / "toy")


def rows(path: Path = RUN / "injections-weight.parquet") -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def test_a_weight_fault_is_one_fault_with_a_row_an_image(toy: list[str]) -> None:
    told = inject(toy, *WEIGHTS, "--verify", 40)
    assert [(row["site"], row["op"], row["neurons"], row["macs"]) for row in told["sites"]] == [
        ("conv1.weight", "weight", 36, 2304),
        ("conv2.weight", "weight", 216, 3456),
        ("fc.weight", "weight", 72, 72),
    ]
    assert told["verified"] == 40
    assert (told["faults"], told["rows"]) == (3 * 20, 3 * 20 * 5)
    outcomes = ("sdc", "non_finite", "masked", "benign")
    assert [(row["faults"], sum(row[name] for name in outcomes)) for row in told["sites"]] == 3 * [(20, 100)]
    found, model = rows(), toy_net()
    assert len(found) == 3 * 20 * 5
    for number in range(0, len(found), 5):
        first, *others = tried = found[number : number + 5]
        for name in ("fault", "site", "index", "bit", "value_before", "value_flipped", "value_after", "weight"):
            assert all(row[name] == first[name] or row[name] != row[name] for row in others), name
        assert len({row["image_id"] for row in tried}) == 5
        tensor = model.get_parameter(first["site"]).detach()
        assert first["value_before"] == float(tensor[tuple(first["index"])])
        assert abs(first["value_after"]) <= float(tensor.abs().max())
    artifact = store.read(RUN / "injections-weight.parquet", INJECTIONS)
    assert (artifact.provenance.config["target"], artifact.provenance.config["images_per_fault"]) == ("weight", 5)
    assert artifact.provenance.extra["last_sites"] == []
    assert not (RUN / "ranges.parquet").exists()  # a tensor's range needs no profiling


def test_a_campaign_leaves_that_of_another_target_alone(toy: list[str]) -> None:
    inject(toy, "--sampling", "uniform", "--injections", 20)
    neurons = {path.name: path.read_bytes() for path in RUN.glob("*.parquet")}
    for number in (1, 2):
        inject(toy, *WEIGHTS, "--shard", f"{number}/2")
    shards = sorted(RUN.glob("injections-weight-*-of-2.parquet"))
    merged = json.loads(invoke("merge", *shards, "--json").stdout)
    names = ("injections-weight.parquet", "vulnerability-weight.parquet")
    assert [merged["injections"], merged["vulnerability"]] == [str(RUN / name) for name in names]
    weights = [(RUN / name).read_bytes() for name in names]
    inject(toy, *WEIGHTS, "--plan-only")
    assert (RUN / "plan-weight.parquet").exists()
    inject(toy, *WEIGHTS)
    assert [(RUN / name).read_bytes() for name in names] == weights
    assert {name: (RUN / name).read_bytes() for name in neurons} == neurons


def test_weight_faults_are_replayed_and_run_again_as_a_list(toy: list[str], tmp_path: Path) -> None:
    inject(toy, *WEIGHTS)
    for row in (0, 151):
        assert inject(toy, "--target", "weight", "--replay", row)["agrees"] is True
    again = tmp_path / "again.parquet"
    listed = ("--target", "weight", "--faults", RUN / "injections-weight.parquet", "--engine", "full", "--out", again)
    inject(toy, *listed)
    first, second = rows(), rows(again)
    for name in ("site", "index", "bit", "image_id", "value_before", "value_after", "outcome"):
        assert [row[name] for row in second] == [row[name] for row in first], name
    assert [row["fault"] for row in second] == list(np.repeat(np.arange(60), 5))
    with pytest.raises(TgrError, match=r"holds faults that last, each tried on several images; give --target weight"):
        inject(toy, "--faults", RUN / "injections-weight.parquet", "--out", again)


def test_a_tensor_of_one_number_has_an_index_without_axes(toy: list[str]) -> None:
    run, plan = RUNS / "toys-build_scaled_toy-baseline" / "injections-weight.parquet", Path("plan.parquet")
    inject(toy, *WEIGHTS, "--plan-only", "--out", plan, model="toys:build_scaled_toy")
    inject(toy, "--target", "weight", "--plan", plan, "--verify", 400, model="toys:build_scaled_toy")
    scale = [row for row in rows(run) if row["site"] == "logit_scale"]
    assert len(scale) == 20 * 5
    assert all(row["index"] == [] and row["value_before"] == 1.5 for row in scale)
    assert (
        inject(toy, "--target", "weight", "--replay", len(rows(run)) - 1, model="toys:build_scaled_toy")["agrees"]
        is True
    )
    Path("one.csv").write_text("site,index,bit,image_id\nlogit_scale,,31,toy/0.png\n")
    inject(
        toy, "--target", "weight", "--limit", "none", "--faults", "one.csv", "--restart", model="toys:build_scaled_toy"
    )
    assert [(row["index"], row["value_after"]) for row in rows(run)] == [([], -1.5)]


def test_a_csv_of_weight_faults(toy: list[str], tmp_path: Path) -> None:
    file = tmp_path / "faults.csv"
    file.write_text(
        "site,index,bit,image_id\nfc.bias,1,31,toy/0.png\nfc.bias,1,31,toy/1.png\nconv1.bias,0,3,toy/0.png\n"
    )
    inject(toy, "--target", "bias", "--limit", "none", "--faults", file)
    found = rows(RUN / "injections-bias.parquet")
    assert [(row["fault"], row["site"], row["image_id"]) for row in found] == [
        (0, "fc.bias", "toy/0.png"),
        (0, "fc.bias", "toy/1.png"),
        (1, "conv1.bias", "toy/0.png"),
    ]
    bias = float(toy_net().fc.bias.detach()[1])
    assert [row["value_after"] for row in found[:2]] == [-bias, -bias]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--target", "weights"),
            r'--target is "weights"; use one of neuron, weight, bias, buffer. Did you mean "wei',
        ),
        (("--target", "buffer"), r"the logits depend on no floating-point buffer of the model; use another --target"),
        (
            ("--target", "bias", "--engine", "pytorchfi"),
            r"the engine pytorchfi strikes neurons only; use --engine",
        ),
        (
            ("--target", "bias", "--ranges", "r"),
            r"--ranges limit neurons, and a bias is limited to the range of its own values; leave",
        ),
        (("--target", "bias", "--exhaustive", "last"), r"--exhaustive strikes neurons, not a bias; leave out one of"),
        (("--images-per-fault", 0), r"Invalid value for '--images-per-fault'"),
    ],
)
def test_what_cannot_be_struck_is_refused(toy: list[str], options: tuple[object, ...], words: str) -> None:
    if options[0] == "--images-per-fault":
        done = invoke("inject", "--model", "toys:build_toy", *toy, *options)
        assert (done.exit_code, words in done.stderr) == (2, True)
    else:
        with pytest.raises(TgrError, match=words):
            inject(toy, *options, "--sampling", "uniform")


def test_weight_faults_are_drawn_by_bit_after_a_pilot(toy: list[str]) -> None:
    drawn = ("--target", "weight", "--sampling", "stratified", "--pilot", 64, "--injections", 64)
    told = inject(toy, *drawn, "--images-per-fault", 2)
    found = rows()
    assert (told["faults"], told["rows"], len(found)) == (3 * 64, 3 * 64 * 2, 3 * 64 * 2)
    assert all(one["index"] == other["index"] for one, other in zip(found[::2], found[1::2], strict=True))


def test_forecasts_shards_and_campaigns_count_faults_and_not_their_rows(toy: list[str]) -> None:
    forecast = inject(toy, *WEIGHTS, "--plan-only")
    assert (forecast["faults"], forecast["rows"]) == (60, 300)
    shards = [inject(toy, *WEIGHTS, "--shard", f"{number}/2") for number in (1, 2)]
    assert [shard["faults_in_all"] for shard in shards] == [60, 60]
    assert sum(shard["rows"] for shard in shards) == 300
    assert all(0 < shard["faults"] <= 60 for shard in shards)
    told = invoke("inject", "--model", "toys:build_toy", *toy, *WEIGHTS)
    assert "60 faults, each with a row for every image that it is tried on (300 in all, by outcome)" in told.stdout


def test_the_tensors_of_a_model_are_listed() -> None:
    arguments = ("sites", "--model", "lenet5", "--num-classes", 3, "--target")
    listed = json.loads(invoke(*arguments, "bias", "--json").stdout)
    facts = [(row["site"], row["op"], row["shape"], row["macs"], row["per_image"]) for row in listed]
    assert facts == [  # LeNet-5: outputs × inputs of each layer
        ("conv1.bias", "bias", [6], 6 * 28 * 28 * 25, False),
        ("conv2.bias", "bias", [16], 16 * 10 * 10 * 6 * 25, False),
        ("fc1.bias", "bias", [120], 120 * 400, False),
        ("fc2.bias", "bias", [84], 84 * 120, False),
        ("fc3.bias", "bias", [3], 3 * 84, False),
    ]
    assert "5 tensors, 60,882 elements" in invoke(*arguments, "weight").stdout
    with pytest.raises(TgrError, match=r'--target is "neurons"; use one of neuron, weight, bias, buffer. Did you mean'):
        invoke(*arguments, "neurons")


def test_a_model_that_cannot_be_traced_is_hooked_and_the_artifact_says_so(toy: list[str]) -> None:
    model, run = "toys_choosing:build", RUNS / "toys_choosing-build-baseline"
    done = invoke("inject", "--model", model, *toy, "--sampling", "uniform", "--injections", 8, "--verify", 10)
    note = (
        ": 5 convolution and linear modules are hooked instead, functional calls cannot be seen, and the engine full "
        "runs one image at a time"
    )
    assert note in done.stderr
    artifact = store.read(run / "injections.parquet", INJECTIONS)
    assert artifact.provenance.extra["hooked_modules"] == 5
    assert artifact.provenance.extra["unseen"] == "functional calls"
    idle = [row for row in rows(run / "injections.parquet") if np.isnan(row["value_before"])]
    assert {row["site"] for row in idle} <= {"mix#2"}
    assert {row["outcome"] for row in idle} <= {"masked"}
    assert inject(toy, "--replay", 3, model=model)["agrees"] is True
    inject(toy, *WEIGHTS, "--verify", 10, model=model)
    assert len(rows(run / "injections-weight.parquet")) == 5 * 20 * 5
    with pytest.raises(TgrError, match=r"the engine replay needs the model's graph, and torch.export cannot trace"):
        inject(toy, "--engine", "replay", model=model)
    with pytest.raises(TgrError, match=r"--exhaustive needs the model's graph, and torch.export cannot trace"):
        inject(toy, "--exhaustive", "last", model=model)
    with pytest.raises(TgrError, match=r"importance sampling needs the model's graph, .*; use --sampling uniform"):
        inject(toy, "--injections", 2, model=model)


def test_a_site_that_no_image_runs_has_no_range(toy: list[str]) -> None:
    dark = [*toy[:-4], "--mean", "5", "--std", "0.5"]
    with pytest.raises(TgrError, match=r'none of 60 images runs the site "mix#2", so it has no range; use more'):
        inject(dark, "--sampling", "uniform", model="toys_choosing:build")


def test_half_precision_models_run_through_the_command_line(toy: list[str]) -> None:
    for target in ("neuron", "weight"):
        inject(
            toy,
            "--sampling",
            "uniform",
            "--injections",
            10,
            "--target",
            target,
            "--verify",
            10,
            model=f"{__name__}:half",
        )
        name = "injections.parquet" if target == "neuron" else "injections-weight.parquet"
        found = rows(next(RUNS.glob("*half*")) / name)
        assert {row["bit"] for row in found} <= set(range(16))
        values = np.array([row["value_before"] for row in found])
        assert (values == values.astype(np.float16)).all()
    few = ("--sampling", "uniform", "--injections", 10)
    inject(toy, *few, "--plan-only", model=f"{__name__}:half")
    inject(toy, *few, "--shard", "1/2", model=f"{__name__}:half")
    recorded = {store.describe(path)[0].kind: formats_of(path) for path in next(RUNS.glob("*half*")).glob("*.parquet")}
    assert recorded == dict.fromkeys(("ranges", "plan", "shard", "injections", "vulnerability"), "float16")


def half(num_classes: int = 3) -> torch.nn.Module:
    return toy_net(0, num_classes).half()
