"""`tgr evaluate` and `tgr profile-ranges` of a model deployed in a number format."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from toys import ToyNet, toy_net, write_toy_dataset
from typer.testing import CliRunner, Result

from tgr_cli.app import app
from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import GOLDEN, RANGES, SALIENCY
from tgr_cli.campaign import runs
from tgr_cli.data.datasets import DataSource, batches, open_split
from tgr_cli.data.transforms import Preprocessing, evaluation
from tgr_cli.errors import TgrError
from tgr_cli.faults.formats import format_named
from tgr_cli.metrics.outcomes import predictions

TOY = (
    *("--dataset", "parquet:toy", "--model", "toys:build_toy", "--checkpoint", "m.safetensors"),
    *("--resize", 8, "--crop", 8, "--mean", "0.5", "--std", "0.25", "--batch-size", 16),
)
PRE = Preprocessing(resize=None, crop=8, mean=(0.5,), std=(0.25,), channels=1)
RUN = Path("runs/toy/toys-build_toy-baseline")


def tgr(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, TgrError):
        raise result.exception
    return result


@pytest.fixture(autouse=True)
def _toy() -> None:
    write_toy_dataset(Path("toy"))
    save_file(toy_net(4).state_dict(), "m.safetensors")


def images(split: str) -> Tensor:
    found = open_split(DataSource(dataset="parquet:toy"), split)  # type: ignore[arg-type]
    ((x_NCHW, _),) = batches(found, evaluation(PRE), batch_size=len(found))
    return x_NCHW


def stepped(values: Tensor, top: Tensor) -> Tensor:
    step = top / 127
    return (values / step).round().clamp(-128, 127) * step


def by_hand(x_NCHW: Tensor, rounded: Any, state: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Return logits and every site's values of the toy, each a function of its plain value and its name."""
    model, seen = toy_net(4), dict[str, Tensor]()
    model.load_state_dict(state or model.state_dict())

    def hook(name: str, out: Tensor) -> Tensor:
        seen[name] = rounded(name, out).clone()
        return seen[name].clone()

    for name in ("conv1", "conv2", "fc"):
        getattr(model, name).register_forward_hook(lambda _, __, out, name=name: hook(name, out))
    with torch.no_grad():
        return model(x_NCHW), seen


def tops() -> dict[str, Tensor]:
    return {name: value.abs().max() for name, value in by_hand(images("train"), lambda _, out: out)[1].items()}


def test_evaluate_classifies_the_deployed_model_with_scales_of_the_train_split() -> None:
    printed = json.loads(tgr("evaluate", *TOY, "--format", "int8", "--json").stdout)
    top = tops()
    logits_NC, _ = by_hand(images("eval"), lambda name, out: stepped(out, top[name]))
    plain_NC, _ = by_hand(images("eval"), lambda _, out: out)
    assert (logits_NC != plain_NC).any()
    golden = store.read(RUN / "golden-int8.parquet", GOLDEN)
    labels_N = torch.tensor(golden.column("label"))
    assert golden.column("prediction").tolist() == predictions(logits_NC).tolist()
    losses_N = torch.nn.functional.cross_entropy(logits_NC, labels_N, reduction="none")
    assert golden.column("loss") == pytest.approx(losses_N.numpy(), abs=2e-6)
    assert printed["format"] == golden.provenance.number_format == "int8"
    assert printed["weight_format"] == "float32"
    assert printed["golden"] == str(RUN / "golden-int8.parquet")
    extra = golden.provenance.extra
    assert extra["number_format"] == format_named("int8").facts
    assert extra["rounded"] == "conv,linear"
    profiled = store.read(RUN / "ranges.parquet", RANGES)
    assert extra["calibration"]["scale"] == "per layer"
    assert extra["calibration"]["ranges"] == profiled.sha256
    assert extra["calibration"]["used"] == profiled.provenance.extra["used"] == "train.parquet"
    assert not (RUN / "golden.parquet").exists()


def test_weights_are_stored_in_a_format_of_their_own() -> None:
    printed = json.loads(tgr("evaluate", *TOY, "--weight-format", "int8:channel", "--json").stdout)
    state = toy_net(4).state_dict()
    for name in ("conv1.weight", "conv2.weight", "fc.weight"):
        axes = tuple(range(1, state[name].ndim))
        state[name] = stepped(state[name], state[name].abs().amax(dim=axes, keepdim=True))
    logits_NC, _ = by_hand(images("eval"), lambda _, out: out, state)
    golden = store.read(RUN / "golden-weights-int8-channel.parquet", GOLDEN)
    losses_N = torch.nn.functional.cross_entropy(logits_NC, torch.tensor(golden.column("label")), reduction="none")
    assert golden.column("loss") == pytest.approx(losses_N.numpy(), abs=2e-6)
    assert (printed["format"], printed["weight_format"]) == ("float32", "int8:channel")
    assert golden.provenance.extra["weight_format"] == "int8:channel"
    assert "calibration" not in golden.provenance.extra
    assert not (RUN / "ranges.parquet").exists()  # a weight's range is its own


def test_ranges_of_a_deployed_model_are_its_own_and_lie_beside_those_of_the_model() -> None:
    tgr("profile-ranges", *TOY)
    plain = (RUN / "ranges.parquet").read_bytes()
    rows = json.loads(tgr("profile-ranges", *TOY, "--format", "int8", "--weight-format", "int8", "--json").stdout)
    assert (RUN / "ranges.parquet").read_bytes() == plain
    found = store.read(RUN / "ranges-int8-weights-int8.parquet", RANGES)
    assert found.table.to_pylist() == rows
    assert (found.provenance.number_format, found.provenance.extra["weight_format"]) == ("int8", "int8")
    state, top = toy_net(4).state_dict(), tops()
    for name in ("conv1.weight", "conv2.weight", "fc.weight"):
        state[name] = stepped(state[name], state[name].abs().max())
    _, seen = by_hand(images("train"), lambda name, out: stepped(out, top[name]), state)
    for row in rows:
        assert row["min"] == pytest.approx(seen[row["site"]].min().item(), rel=1e-5)
        assert row["max"] == pytest.approx(seen[row["site"]].max().item(), rel=1e-5)


@pytest.mark.parametrize("form", ["bfloat16", "bfp"])
def test_a_format_whose_scales_are_not_profiled_needs_no_ranges(form: str) -> None:
    tgr("evaluate", *TOY, "--format", form)
    assert (RUN / f"golden-{form}.parquet").exists()
    assert not (RUN / "ranges.parquet").exists()
    assert store.read(RUN / f"golden-{form}.parquet", GOLDEN).provenance.extra["calibration"] == {}


def test_only_the_chosen_operations_are_rounded_and_that_is_recorded() -> None:
    tgr("evaluate", *TOY, "--format", "bfloat16", "--targets", "conv")
    golden = store.read(RUN / "golden-bfloat16.parquet", GOLDEN)
    rounding = {"conv1", "conv2"}
    logits_NC, _ = by_hand(images("eval"), lambda name, out: out.bfloat16().float() if name in rounding else out)
    losses_N = torch.nn.functional.cross_entropy(logits_NC, torch.tensor(golden.column("label")), reduction="none")
    assert golden.column("loss") == pytest.approx(losses_N.numpy(), abs=2e-6)
    assert golden.provenance.extra["rounded"] == "conv"
    tgr("evaluate", *TOY, "--format", "bfloat16", "--targets", "linear, conv", "--out", "both.parquet")
    assert store.read(Path("both.parquet"), GOLDEN).provenance.extra["rounded"] == "conv,linear"
    told = tgr("evaluate", *TOY, "--targets", "conv")
    assert "--targets conv rounds no outputs: it says which ones --format rounds" in " ".join(told.stderr.split())


REFUSED = {
    "int8:channel": "--format is int8:channel, which has a scale for each channel of a stored tensor, and the output "
    "of a layer has one scale; name another format with --format, or this one with --weight-format",
    "float64": "--format is float64, in which a network of float32 is not deployed: it would round to whole numbers, "
    "or not at all; use a narrower float, or an integer format with a scale",
    "int32": "--format is int32, in which a network of float32 is not deployed",
    "nonsense": '--format is "nonsense"; use ',
}


@pytest.mark.parametrize("command", ["evaluate", "profile-ranges"])
@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_be_deployed_is_refused_before_any_work(command: str, form: str) -> None:
    refused = tgr(command, *TOY, "--format", form)
    assert isinstance(refused.exception, TgrError)
    assert str(refused.exception).startswith(REFUSED[form])
    assert not Path("runs").exists()


@pytest.mark.parametrize("option", ["--format", "--encode"])
def test_a_format_that_a_site_does_not_fit_names_the_site(option: str) -> None:
    refused = tgr("inject", *TOY, option, "uint8")
    assert isinstance(refused.exception, TgrError)
    assert re.match(r"site (conv1|conv2|fc): uint8 holds no negative numbers, and the v", str(refused.exception))


@pytest.mark.parametrize("option", ["--format", "--weight-format"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_model_of_another_format_is_no_model_to_deploy(option: str, dtype: torch.dtype) -> None:
    save_file({name: value.to(dtype) for name, value in toy_net(4).state_dict().items()}, "m.safetensors")
    module = f"own_{option[2:8]}_{str(dtype)[6:]}"
    made = f"def build(num_classes=3): return toy_net(0, num_classes).to({dtype})"
    Path(f"{module}.py").write_text(f"import torch\nfrom toys import toy_net\n{made}\n")
    refused = tgr("evaluate", *TOY, "--model", f"{module}:build", option, "bfloat16")
    assert isinstance(refused.exception, TgrError)
    name = str(dtype).removeprefix("torch.")
    assert f"computes in {name}, and {option} deploys a model of float32; convert its weights" in str(refused.exception)
    assert not list(Path("runs").rglob("*.parquet"))


class Overflowing(ToyNet):
    """Has values that float16 cannot hold, which float32 holds."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * 1e6) * 1e-6


def build_overflowing(num_classes: int = 3) -> ToyNet:
    model = Overflowing(num_classes)
    model.load_state_dict(toy_net(4, num_classes).state_dict())
    return model


def test_values_beyond_the_format_name_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(__file__, "overflowing.py")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    model = ("--model", "overflowing:build_overflowing")
    assert tgr("evaluate", *TOY, *model).exit_code == 0
    refused = tgr("evaluate", *TOY, *model, "--format", "float16")
    assert isinstance(refused.exception, TgrError)
    assert "are not finite; float16 may not hold its values: classify without the format to see" in str(
        refused.exception
    )


def test_cam_explains_the_deployed_model_and_strikes_its_words() -> None:
    options = ("--format", "int8", "--weight-format", "int8:channel", "--faults", 40, "--images", 2)
    printed = json.loads(tgr("cam", *TOY[:-1], 4, *options, "--json").stdout)
    path = RUN / "saliency-int8-weights-int8-channel.parquet"
    assert printed["saliency"] == str(path)
    saliency = store.read(path, SALIENCY)
    assert list(saliency.provenance.extra["formats"].values()) == ["int8"]
    (facts,) = saliency.provenance.extra["models"]
    assert (facts["weight_format"], facts["calibration"]["scale"]) == ("int8:channel", "per layer")
    tgr("evaluate", *TOY, *options[:4])
    golden = store.read(RUN / "golden-int8-weights-int8-channel.parquet", GOLDEN)
    of_image = dict(zip(golden.column("image_id"), golden.column("top1"), strict=True))
    for row in saliency.table.to_pylist():
        assert row["top1_before"] == pytest.approx(of_image[row["image_id"]], abs=1e-5)
    assert sum(saliency.provenance.extra["struck"].values()) == 40
    words = 8 * sum(toy_net(4).state_dict()[f"{name}.weight"].numel() for name in ("conv1", "conv2", "fc"))
    refused = tgr("cam", *TOY[:-1], 4, *options[:4], "--faults", words + 1)
    assert f"--faults is {words + 1:,}, but the weights have {words:,} bits; use fewer" in str(refused.exception)


def test_files_of_two_formats_are_never_taken_for_one_another() -> None:
    for options in ((), ("--format", "int8"), ("--format", "int8", "--targets", "conv", "--out", "conv.parquet")):
        tgr("evaluate", *TOY, *options)
    plain, steps = (runs.read_golden(RUN / name)[1] for name in ("golden.parquet", "golden-int8.parquet"))
    conv = runs.read_golden(Path("conv.parquet"))[1]
    for golden, other, words in (
        (plain, steps, "a model with outputs of conv,linear in int8, but the model as it is"),
        (steps, plain, "the model as it is, but a model with outputs of conv,linear in int8"),
        (steps, conv, "a model with outputs of conv in int8, but a model with outputs of conv,linear in int8"),
    ):
        with pytest.raises(TgrError) as refused:
            runs.refuse_other_model(golden, other)
        assert f"{other.path} was made of {words} in {golden.path}; run" in str(refused.value)
        runs.refuse_other_model(other, other)
