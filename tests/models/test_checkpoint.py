"""Checkpoints in the forms left by training scripts, wrapper modules and libraries."""

import argparse
import pathlib
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from toys import toy_net
from toys_checkpoints import PATH, State, before, fits_toy, refused, restored

from tgr_cli.errors import TgrError
from tgr_cli.models import weights
from tgr_cli.models.checkpoint import CheckpointTensors
from tgr_cli.models.from_state import restore

WRAPPED: dict[str, Callable[[State], object]] = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "best": np.float64(91.7), "where": pathlib.Path("x")},
    "arguments": lambda s: {"model": s, "optimizer": {"lr": 0.1}, "args": argparse.Namespace(lr=0.1)},
    "tutorial": lambda s: {"model_state_dict": s, "optimizer_state_dict": {"state": {0: {"exp_avg": s["fc.bias"]}}}},
    "unusual key": lambda s: {"net_g": s},
    "nested": lambda s: {"model": {"state_dict": s}},
    "in a list": lambda s: {"models": [s]},
    "compiled": lambda s: before("_orig_mod.", s),
    "parallel": lambda s: {"state_dict": before("module.", s)},
    "lightning": lambda s: {"state_dict": before("model.", s) | {"criterion.weight": torch.ones(3)}, "epoch": 3},
    "compiled in parallel in lightning": lambda s: {"state_dict": before("net.module._orig_mod.", s)},
    "a part compiled": lambda s: {name.replace("conv2.", "conv2._orig_mod."): value for name, value in s.items()},
    "most": lambda s: {name if name.startswith("fc") else f"encoder.{name}": value for name, value in s.items()},
    "profiled": lambda s: s | {"total_ops": torch.ones(1), "conv1.total_params": torch.ones(1)},
    "averaged": lambda s: {"n_averaged": torch.tensor(5), **before("module.", s)},
    "split": lambda s: {
        "state": {
            layer: {n.split(".")[1]: v for n, v in s.items() if n.startswith(layer)}
            for layer in ("conv1", "conv2", "fc")
        }
    },
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_weights_come_out_of_whatever_is_wrapped_around_them(wrap: str) -> None:
    model, said = restored(WRAPPED[wrap](toy_net(3).state_dict()))
    assert fits_toy(model)
    assert bool(said) == (wrap != "plain")


def test_what_was_taken_and_left_aside_is_said() -> None:
    _, said = restored({"state_dict": before("model.", toy_net(3).state_dict()) | {"loss.weight": torch.ones(3)}})
    assert said == [
        "the checkpoint weights.of-any-name: 6 tensors are the model's, named there as state_dict.model.conv1.weight "
        "for conv1.weight, 1 others are left aside (state_dict.loss.weight)"
    ]


def test_a_network_in_a_module_of_its_own_takes_the_bare_networks_weights() -> None:
    outer = nn.Sequential(OrderedDict(net=toy_net(9)))
    model, _ = restored({"state_dict": toy_net(3).state_dict()}, outer)
    assert fits_toy(model[0])  # type: ignore[index]
    parallel, _ = restored(toy_net(3).state_dict(), nn.DataParallel(toy_net(9)))
    assert fits_toy(parallel.module)


def test_averages_without_names_are_mentioned() -> None:
    _, said = restored({"model": toy_net(3).state_dict(), "ema": {"shadow": list(toy_net(4).state_dict().values())}})
    assert 'also holds 6 tensors under "ema", which may be averaged weights; they do not fit' in said[0]


def test_the_nearest_miss_is_named() -> None:
    state = toy_net().state_dict()
    for name in ("conv1.bias", "conv2.bias"):
        del state[name]
    state |= {"extra.weight": torch.zeros(1), "fc.weight": torch.zeros(5, 24), "fc.bias": torch.zeros(5)}
    model = toy_net(9)
    assert refused({"net": state}, model) == (
        'the checkpoint weights.of-any-name (its "net") does not fit the model: it lacks conv1.bias (and 1 more); it '
        "has net.extra.weight, which the model has not; it has fc.weight as float32[5×24] where the model has "
        "float32[3×24] (and 1 more); of the model's 6 tensors it names 4; check --model"
    )
    assert fits_toy(model, 9)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(3, dtype=torch.int8), "fc.bias as int8[3]"),
        (torch.zeros(3, dtype=torch.complex64), "fc.bias as complex64[3]"),
        (torch.zeros(3).to_sparse(), "fc.bias as sparse float32[3]"),
        (torch.zeros(3, device="meta"), "fc.bias as float32[3] without values"),
    ],
)
def test_what_holds_no_plain_numbers_is_no_weight(value: Tensor, words: str) -> None:
    assert words in refused(toy_net().state_dict() | {"fc.bias": value})


def test_half_precision_is_converted_and_missing_counters_are_tolerated() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    state = {name: torch.full_like(value, 0.1).half() for name, value in model.state_dict().items() if value.ndim}
    restored(state, model)
    assert torch.equal(model[1].running_var, torch.full((2,), 0.1).half().float())
    assert model[1].num_batches_tracked == 0


def test_a_checkpoint_that_holds_itself_is_read_to_its_end() -> None:
    own: dict[str, object] = {**toy_net(3).state_dict()}
    own["state_dict"] = own
    own["list"] = [own, (own,)]
    assert fits_toy(restored(own)[0])
    deep: dict[str, object] = {}
    for _ in range(200):
        deep = {"model": deep, "a": torch.ones(2)}
    assert "lacks conv1.weight" in refused(deep)


@pytest.mark.parametrize("name", ["mnasnet0_5", "mnasnet1_3"])
def test_versions_of_modules_are_todays_where_names_and_shapes_are(name: str) -> None:
    model, other = (torchvision.models.get_model(name, weights=None, num_classes=3) for _ in range(2))
    restored(model.state_dict(), other)  # with torchvision's versions
    assert weights.fingerprint(model) == weights.fingerprint(other)
    save_file(model.state_dict(), PATH)  # without any
    third = torchvision.models.get_model(name, weights=None, num_classes=3)
    restore(third, CheckpointTensors.read(PATH))
    assert weights.fingerprint(model) == weights.fingerprint(third)


def test_older_versions_are_converted_by_the_models_own_rules() -> None:
    block = torchvision.models.vision_transformer.MLPBlock(4, 8, 0.0)
    state = block.state_dict()
    older = {name.replace("0.", "linear_1.").replace("3.", "linear_2."): value for name, value in state.items()}
    other = torchvision.models.vision_transformer.MLPBlock(4, 8, 0.0)
    model, said = restored({"net": older}, other)
    assert weights.fingerprint(model) == weights.fingerprint(block)
    assert "linear_1.weight" in said[0]


def test_published_names_are_translated() -> None:
    make = lambda: torchvision.models.DenseNet(8, (2, 1), 8, num_classes=3)  # noqa: E731
    model, other = make(), make()
    old = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2")
        if "denselayer" in name
        else name: value
        for name, value in model.state_dict().items()
        if not name.endswith("tracked")
    }
    _, said = restored({"state_dict": before("module.", old)}, other)
    assert weights.fingerprint(model) == weights.fingerprint(other)
    assert "denselayer1.norm.1.weight" in said[0]


def test_auxiliary_heads_are_left_out_and_their_model_is_found() -> None:
    with_heads = torchvision.models.googlenet(weights=None, init_weights=False, num_classes=3)
    plain = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False, num_classes=3)
    _, said = restored(with_heads.state_dict(), plain)
    assert torch.equal(plain.fc.weight, with_heads.fc.weight)
    assert "aux1.conv.conv.weight" in said[0]


def test_what_authors_published_is_renamed_as_timm_does() -> None:
    import timm

    make = lambda: timm.create_model("convnext_atto", num_classes=3, depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))  # noqa: E731
    model, other = make(), make()
    theirs = {}
    for name, value in model.state_dict().items():
        for new, old in (
            ("stem.", "downsample_layers.0."),
            ("stages.", "stages."),
            ("mlp.fc", "pwconv"),
            ("conv_dw", "dwconv"),
            ("head.norm.", "norm."),
            ("head.fc.", "head."),
        ):
            name = name.replace(new, old)
        if ".blocks." in name:
            name = name.replace(".blocks.", ".")
        if ".downsample." in name:
            stage, _, rest = name.removeprefix("stages.").partition(".downsample.")
            name = f"downsample_layers.{stage}.{rest}"
        if value.ndim == 4 and "pwconv" in name:
            value = value[:, :, 0, 0]
        theirs[name] = value
    restored({"model": theirs}, other)
    assert weights.fingerprint(model) == weights.fingerprint(other)
    larger = timm.create_model("vit_tiny_patch16_224", num_classes=3, embed_dim=12, depth=1, num_heads=1, img_size=32)
    smaller = timm.create_model("vit_tiny_patch16_224", num_classes=3, embed_dim=12, depth=1, num_heads=1, img_size=16)
    assert "has pos_embed as float32[1×5×12]" in refused(larger.state_dict(), smaller)  # never resampled


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_flipped_bytes_are_read_or_refused(kind: str) -> None:
    """With any one byte of a small checkpoint wrong, it loads or is refused in one sentence."""
    if kind == "safetensors":
        save_file(toy_net(3).state_dict(), PATH)
    else:
        torch.save({"state_dict": toy_net(3).state_dict()}, PATH, _use_new_zipfile_serialization=kind == "zip")
    whole, rng = PATH.read_bytes(), np.random.default_rng(0)
    refusals = []
    for _ in range(120):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        PATH.write_bytes(damaged[: rng.integers(1, len(whole))] if rng.random() < 0.2 else damaged)
        try:
            restore(toy_net(9), CheckpointTensors.read(PATH))
        except TgrError as error:
            refusals.append(str(error))
    assert len(refusals) > 20
    assert all(str(PATH) in words and "\n" not in words for words in refusals)


@pytest.mark.parametrize("name", ["m.pt2", "m.pth"])
def test_a_program_is_refused_as_one_whatever_its_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    torch.export.save(torch.export.export(toy_net(), (torch.rand(2, 1, 8, 8),)), tmp_path / "saved.pt2")
    (tmp_path / "saved.pt2").rename(file)
    with pytest.raises(TgrError, match=r"a program that torch.export saved.*torch.export.load\(FILE\).module\(\)"):
        CheckpointTensors.read(file)


def test_torchscript_is_refused_with_how_to_save_its_weights(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript
        torch.jit.save(torch.jit.trace(toy_net(), torch.rand(2, 1, 8, 8)), tmp_path / "m.pt")
    with pytest.raises(TgrError, match=r"is a TorchScript program, no state dict.*torch.jit.load\(FILE\).state_dict"):
        CheckpointTensors.read(tmp_path / "m.pt")


def test_tensors_of_torchao_are_to_be_loaded_by_the_models_function(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of torchao
        quantization = pytest.importorskip("torchao.quantization")
        model = toy_net()
        quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
        torch.save(model.state_dict(), tmp_path / "m.pth")
    with pytest.raises(TgrError, match=r"tensors of a class of their own .torchao.*in the function that --model"):
        CheckpointTensors.read(tmp_path / "m.pth")
