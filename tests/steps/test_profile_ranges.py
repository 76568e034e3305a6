"""`tgr profile-ranges`: each site's values over the images, every image once."""

import inspect
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from toys import toy_net, write_toy_dataset
from toys_artifacts import invoke
from typer.testing import CliRunner, Result

from tgr_cli.app import app
from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import RANGES
from tgr_cli.campaign import ranges as campaign_ranges
from tgr_cli.commands.profile_ranges import profile_ranges as command
from tgr_cli.data.datasets import DataSource, ImageSet, batches, open_split
from tgr_cli.data.transforms import Preprocessing, evaluation
from tgr_cli.defaults import PROFILED_IMAGES
from tgr_cli.errors import TgrError
from tgr_cli.models import weights
from tgr_cli.steps.profile_ranges import Config

TOY = ("--model", "toys:build_toy", "--resize", 8, "--crop", 8, "--mean", "0.5", "--std", "0.25")
PRE = Preprocessing(resize=None, crop=8, mean=(0.5,), std=(0.25,), channels=1)


def profile(*options: object) -> Result:
    arguments = ("profile-ranges", *TOY, "--checkpoint", "m.safetensors", "--out", "r.parquet", *options)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, TgrError):
        raise result.exception
    return result


def watched(images: ImageSet) -> dict[str, torch.Tensor]:
    """Return every site's values over all images, from plain forward hooks."""
    model, seen = toy_net(4), {}
    for name in ("conv1", "conv2", "fc"):
        # A copy, because the following ReLU works in place.
        getattr(model, name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.clone()}))
    ((x_NCHW, _),) = batches(images, evaluation(PRE), batch_size=len(images))
    with torch.no_grad():
        model(x_NCHW)
    return seen


@pytest.fixture(autouse=True)
def _toy() -> None:
    write_toy_dataset(Path("toy"))
    save_file(toy_net(4).state_dict(), "m.safetensors")


@pytest.mark.parametrize("batch_size", [16, 64])
def test_ranges_are_those_of_the_train_split_and_the_padding_does_not_count(batch_size: int) -> None:
    printed = json.loads(profile("--dataset", "parquet:toy", "--batch-size", batch_size, "--json").stdout)
    ranges = store.read(Path("r.parquet"), RANGES)
    assert ranges.table.to_pylist() == printed
    assert ranges.provenance.model == weights.fingerprint(toy_net(4))
    assert ranges.provenance.extra["used"] == "train.parquet"
    images = open_split(DataSource(dataset="parquet:toy"), "train")
    assert len(images) % 16
    expected = watched(images)
    assert [row["site"] for row in printed] == list(expected)
    for row in printed:
        values = expected[row["site"]]
        assert row["min"] == pytest.approx(values.min().item(), rel=1e-5)
        assert row["max"] == pytest.approx(values.max().item(), rel=1e-5)
        assert row["max_abs"] == max(abs(row["min"]), abs(row["max"]))
        assert row["mean_abs"] == pytest.approx(values.abs().double().mean().item(), rel=1e-5)
        p99 = values.abs().flatten().kthvalue(math.ceil(0.99 * values.numel())).values.item()
        assert row["p99"] == pytest.approx(p99, rel=1.1e-3)


def test_a_lone_file_is_profiled_on_its_images_and_says_so() -> None:
    result = profile("--dataset", "parquet:toy/test.parquet")
    note = "test.parquet has no train split: profiling on its evaluation images; --train-data names others"
    assert note in result.stderr
    assert store.read(Path("r.parquet"), RANGES).provenance.extra["images"] == 30
    result = profile("--dataset", "parquet:toy/test.parquet", "--train-data", "toy/train.parquet")
    assert note not in result.stderr
    assert store.read(Path("r.parquet"), RANGES).provenance.extra["images"] == 60


def test_without_a_train_split_it_is_the_evaluation_images_which_is_said_and_recorded() -> None:
    profile("--dataset", "parquet:toy")
    assert store.read(Path("r.parquet"), RANGES).provenance.extra["split"] == "train"
    Path("toy/train.parquet").unlink()
    result = profile("--dataset", "parquet:toy", "--images", 7)
    assert "toy has no train split: profiling on its evaluation images; --train-data names others" in result.stderr
    extra = store.read(Path("r.parquet"), RANGES).provenance.extra
    assert (extra["split"], extra["used"], extra["images"]) == ("eval", "test.parquet", 7)


def test_a_campaign_profiles_on_as_many_images_as_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign_ranges, "PROFILED_IMAGES", 11)
    assert inspect.signature(command).parameters["images"].default == Config.images == PROFILED_IMAGES == 1024
    Path("toy/train.parquet").unlink()
    result = CliRunner().invoke(
        app, ["inject", *TOY, "--checkpoint", "m.safetensors", "--dataset", "parquet:toy", "--injections", "1"]
    )
    assert result.exception is None
    assert "toy has no train split: profiling on its evaluation images" in result.stderr
    (ranges,) = Path("runs").rglob("ranges.parquet")
    assert store.read(ranges, RANGES).provenance.extra["images"] == 11


def test_a_campaign_of_fewer_targets_profiles_for_the_next_one_too() -> None:
    data = ("--checkpoint", "m.safetensors", "--dataset", "parquet:toy", "--label", "golden")
    for targets in ((), ("--targets", "linear")):
        shutil.rmtree("runs", ignore_errors=True)
        invoke("inject", *TOY, *data, "--injections", 4, "--sampling", "uniform", *targets)
        (ranges,) = Path("runs").rglob("ranges.parquet")
        found = store.read(ranges, RANGES).table.to_pylist()
        assert sorted(row["site"] for row in found) == ["conv1", "conv2", "fc"]
    invoke("inject", *TOY, *data, "--injections", 4, "--sampling", "uniform", "--restart")


def test_values_that_are_not_finite_name_the_site() -> None:
    with pytest.raises(TgrError, match='the output of site "conv1" is not finite without any fault'):
        raise profile("--dataset", "parquet:toy", "--std", "1e-39").exception  # type: ignore[misc]
    assert not Path("r.parquet").exists()
