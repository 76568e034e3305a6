import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.models import weights


class Foreign:
    """An object that needs unpickling."""


def same(state: dict[str, Tensor], model: nn.Module) -> bool:
    own = model.state_dict()
    return list(state) == list(own) and all(torch.equal(state[name], own[name]) for name in own)


def test_safetensors_are_told_by_content_and_come_back_as_saved(tmp_path: Path) -> None:
    path = weights.save(toy_net(3), tmp_path / "run" / "model.pth")
    state = weights.read_state_dict(path)
    model = toy_net(4)
    weights.load(model, state)
    assert same(model.state_dict(), toy_net(3))
    assert weights.fingerprint(model) == weights.fingerprint(toy_net(3))
    first = path.read_bytes()
    assert weights.save(toy_net(3), path).read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["model.pth"]


def test_weights_that_share_their_memory_are_saved_under_both_names(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    state = weights.read_state_dict(weights.save(model, tmp_path / "tied"))
    assert torch.equal(state["0.weight"], state["1.weight"])


def damaged(tmp_path: Path) -> dict[str, Path]:
    """Write one file for each kind of invalid checkpoint."""
    folder = tmp_path / "bad"
    folder.mkdir()
    torch.save(toy_net().state_dict(), folder / "whole.pth")
    save_file(toy_net().state_dict(), folder / "whole.safetensors")
    whole = {name: (folder / f"whole.{name}").read_bytes() for name in ("pth", "safetensors")}
    (folder / "cut.pth").write_bytes(whole["pth"][:-200])
    (folder / "cut.safetensors").write_bytes(whole["safetensors"][:-200])
    (folder / "empty").write_bytes(b"")
    (folder / "text").write_text("These are no weights, only words.")
    (folder / "foreign").write_bytes(pickle.dumps({"a": Foreign()}))
    torch.save({"a": Foreign()}, folder / "foreign.pth")
    torch.save(toy_net(), folder / "module.pth")
    torch.save({"epoch": 3}, folder / "no-tensors.pth")
    torch.save([], folder / "list.pth")
    return {file.name: file for file in folder.iterdir()} | {"missing": folder / "missing", "folder": folder}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "does not exist; name a safetensors file or a state dict saved by torch"),
        ("folder", "is a folder; name a safetensors file"),
        ("cut.pth", "is truncated or no state dict saved by torch; copy or write it again"),
        ("cut.safetensors", "is not a whole safetensors file; copy or write it again"),
        ("empty", "is neither a safetensors file nor a state dict saved by torch"),
        ("text", "is neither a safetensors file nor a state dict saved by torch"),
        ("foreign", "is damaged, or a pickle that torch did not write and tgr does not open"),
        ("foreign.pth", "wants to unpickle"),
        ("foreign.pth", "Foreign, which could run foreign code; save its state_dict() alone"),
        ("module.pth", "wants to unpickle toys.ToyNet, which could run foreign code"),
        ("no-tensors.pth", "holds no tensors; a state dict (names and tensors) is expected"),
        ("list.pth", "holds no tensors"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_sentence(tmp_path: Path, name: str, words: str) -> None:
    path = damaged(tmp_path)[name]
    with pytest.raises(TgrError) as caught:
        weights.read_state_dict(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "touched",)

    for zipped in (True, False):
        torch.save({"a": torch.zeros(1), "b": Touch()}, tmp_path / "trap", _use_new_zipfile_serialization=zipped)
        with pytest.raises(TgrError, match="wants to unpickle"):
            weights.read_state_dict(tmp_path / "trap")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_named(value: float) -> None:
    model = toy_net()
    weights.check_finite(model, "toy")
    with torch.no_grad():
        model.conv2.weight[1, 2, 0, 0] = value
    with pytest.raises(TgrError, match=r"toy has 1 NaN or infinite values in conv2.weight; train or fetch it again"):
        weights.check_finite(model, "toy")


def test_the_fingerprint_sees_every_byte_name_type_and_buffer() -> None:
    def changed(change: Callable[[nn.Module], object]) -> str:
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        with torch.no_grad():
            model[0].weight.copy_(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
            model[0].bias.zero_()
            change(model)
        return weights.fingerprint(model)

    prints = [
        changed(lambda model: None),
        changed(lambda model: model[0].weight[0, 0].fill_(-0.0)),
        changed(lambda model: model[1].running_mean.add_(1e-7)),
        changed(lambda model: model[1].num_batches_tracked.add_(1)),
        changed(lambda model: model.double()),
        changed(lambda model: model.register_buffer("extra", torch.zeros(0), persistent=False)),
        changed(lambda model: model.register_module("2", model.pop(1))),
    ]
    assert len(set(prints)) == len(prints)
    assert changed(lambda model: model.eval()) == prints[0]


def test_parameters_are_counted_without_buffers() -> None:
    assert weights.parameters(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))) == 2 * 9 + 2 + 2 + 2


def test_weights_in_float8_are_finite_or_refused() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("words", torch.tensor([1.0, -2.0]).to(torch.float8_e4m3fn))
    weights.check_finite(model, "the model")
    model.words[0] = torch.nan
    with pytest.raises(TgrError, match="1 NaN or infinite values in words"):
        weights.check_finite(model, "the model")


def test_expanded_buffers_are_loaded_into_memory_of_their_own() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("shift", torch.tensor([1.0]).expand(3))
    weights.load(model, {**model.state_dict(), "shift": torch.tensor([1.0, 2.0, 3.0])})
    assert model.get_buffer("shift").tolist() == [1.0, 2.0, 3.0]
