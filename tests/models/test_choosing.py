"""Choosing weights from a checkpoint with several sets, or with none that clearly belongs to the model."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn
from toys import toy_net
from toys_checkpoints import State, before, fits_toy, refused, restored

BOTH: dict[str, Callable[[State, State], object]] = {
    "timm": lambda plain, mean: {"state_dict": plain, "state_dict_ema": mean},
    "reference scripts": lambda plain, mean: {
        "model": plain,
        "model_ema": {"n_averaged": torch.tensor(3), **before("module.", mean)},
    },
    "flat": lambda plain, mean: {"state_dict": before("net.", plain) | before("ema_net.module.", mean)},
    "swa": lambda plain, mean: plain | {"swa": mean},
}


@pytest.mark.parametrize("wrap", BOTH)
def test_averaged_weights_are_taken_before_trained_ones_and_the_user_may_choose(wrap: str) -> None:
    content = BOTH[wrap](toy_net(1).state_dict(), toy_net(2).state_dict())
    model, said = restored(content)
    assert fits_toy(model, 2)
    assert "2 different sets of weights" in said[0]
    assert "the averaged ones are taken, choose with --checkpoint-key" in said[0]
    keys = {"timm": "state_dict", "reference scripts": "model", "flat": "state_dict.net", "swa": "top"}
    assert f'"{keys[wrap]}" (as trained)' in said[0]
    assert fits_toy(restored(content, key=keys[wrap])[0], 1)


def test_averaged_weights_equal_to_the_trained_ones_are_no_choice() -> None:
    _, said = restored({"model": toy_net(1).state_dict(), "ema": toy_net(1).state_dict()})
    assert "different sets" not in said[0]


def test_several_weights_that_nothing_tells_apart_are_a_question() -> None:
    content = {name: toy_net(seed).state_dict() for seed, name in enumerate(("student", "teacher"))}
    assert refused(content) == (
        "the checkpoint weights.of-any-name holds 2 different sets of weights that fit the model: "
        '"student" and "teacher"; choose one with --checkpoint-key'
    )
    assert fits_toy(restored(content, key="teacher")[0], 1)
    assert 'under student, teacher. Did you mean "teacher"?' in refused(content, key="teachr")
    optimizer = {"exp_avg": {name: torch.zeros_like(value) for name, value in toy_net().state_dict().items()}}
    assert fits_toy(restored({"w": toy_net(3).state_dict(), "optimizer": optimizer})[0])


ASKED: dict[str, tuple[str, ...]] = {
    "contrast by momentum": ("encoder", "momentum_encoder"),
    "mean teacher": ("student", "ema_teacher"),
    "two branches": ("colour", "depth_ema"),
    "three sets": ("first", "second", "second_ema"),
    "adversaries": ("net_d", "net_g"),
    "a name like an optimizer's": ("model", "optimal_weights"),
    "two averages": ("ema", "swa"),
}


@pytest.mark.parametrize("case", ASKED)
def test_weights_of_other_networks_are_never_taken_unasked(case: str) -> None:
    keys = ASKED[case]
    content = {key: toy_net(seed).state_dict() for seed, key in enumerate(keys)}
    words = refused(content)
    assert f"holds {len(keys)} different sets of weights that fit the model" in words
    assert all(f'"{key}"' in words for key in keys)
    assert "choose one with --checkpoint-key" in words
    flat = {name: value for key in keys for name, value in before(f"{key}.", content[key]).items()}
    assert "different sets of weights that fit the model" in refused({"state_dict": flat})
    for seed, key in enumerate(keys):
        assert fits_toy(restored(content, key=key)[0], seed)


@pytest.mark.parametrize("where", ["optimizer", "optim_state_dict", "optimizer_states"])
def test_an_optimizers_state_is_no_set_of_weights(where: str) -> None:
    content = {where: {"exp_avg": toy_net(4).state_dict()}}
    assert f'only under "{where}.exp_avg", which looks like the state of an optimizer' in refused(content)
    assert fits_toy(restored(content | {"anything": toy_net(3).state_dict()})[0])
    assert fits_toy(restored(content, key=where)[0], 4)


class Tied(nn.Module):
    """Two layers that share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight


@pytest.mark.parametrize("kept", ["first.weight", "second.weight"])
def test_a_tied_weight_may_stand_under_one_of_its_names(kept: str) -> None:
    state = {name: torch.randn_like(value) for name, value in Tied().state_dict().items()}
    model, _ = restored({name: v for name, v in state.items() if name == kept or "bias" in name}, Tied())
    assert torch.equal(model.first.weight, state[kept])  # type: ignore[union-attr]
    assert model.first.weight is model.second.weight  # type: ignore[union-attr]
    assert (
        "different values for first.weight and second.weight, which are one tensor in the model; check --model"
    ) in refused(state, Tied())


def test_state_that_no_checkpoint_fills_is_told() -> None:
    class Counting(nn.Linear):
        def get_extra_state(self) -> object:
            return {"steps": 3}

        def set_extra_state(self, state: object) -> None:
            raise AssertionError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the removal of eager quantisation
        packed = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 2)), {nn.Linear})
        for model, name in ((packed, "0._packed_params"), (Counting(4, 2), "_extra_state")):
            words = refused(model.state_dict(), model)
            assert f"the model keeps state that is no tensor ({name}" in words
            assert "let the model's function load its weights, and leave out --checkpoint" in words


def test_converted_precisions_are_said() -> None:
    _, said = restored({name: value.bfloat16() for name, value in toy_net(3).state_dict().items()})
    assert said == ["the checkpoint weights.of-any-name: 6 tensors are the model's, converted from bfloat16 to float32"]
    _, said = restored(toy_net(3).state_dict(), toy_net(9).half())
    assert "converted from float32 to float16" in said[0]


def test_names_of_another_library_are_shown() -> None:
    theirs = {f"resnet.embedder.{name}": torch.ones(1) for name in "abcd"}
    assert refused(theirs).endswith(
        "of the model's 6 tensors it names 0 (the file's are as resnet.embedder.a, resnet.embedder.b, "
        "resnet.embedder.c); check --model"
    )
