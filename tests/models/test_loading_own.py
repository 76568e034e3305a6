"""Models of the user's own: their preprocessing, and which weights their function returns."""

import sys
from pathlib import Path

import pytest
import torch
from toys_checkpoints import Notes
from toys_loading import TOYS, loaded

from tgr_cli.data.transforms import Preprocessing, PreprocessingOptions
from tgr_cli.errors import TgrError

TOY_INPUT = PreprocessingOptions(resize=8, crop=8, mean="0.5", std="0.25")


def test_a_user_s_model_of_one_channel_is_reached_by_one_mean_and_deviation() -> None:
    found = loaded(**TOYS, options=TOY_INPUT)
    assert found.preprocessing == Preprocessing(resize=8, crop=8, mean=(0.5,), std=(0.25,), channels=1)
    assert found.run.name == "toys-build_toy-baseline"


def test_preprocessing_that_nobody_gave_for_a_user_s_model_is_said(tmp_path: Path) -> None:
    code = "from torch import nn\ndef build(num_classes):\n    "
    code += "return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))\n"
    (tmp_path / "any_size.py").write_text(code)
    notes = Notes()
    assert loaded(model="any_size:build", weights="none", reporter=notes).preprocessing.crop == 224
    assert notes.said[1].startswith("the preprocessing of any_size:build is unknown: using resize 256")


def test_a_user_s_model_with_another_number_of_outputs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fixed_outputs.py").write_text("from toys import toy_net\ndef build(): return toy_net(0, 5)\n")
    with pytest.raises(TgrError, match=r"answers one image with \(1, 5\), where logits of shape \(1, 3\) are expected"):
        loaded(model="fixed_outputs:build", weights="none", options=TOY_INPUT)


RETURNED = """
import torch
from torch import nn

def net(num_classes=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

def with_weights():
    model = net()
    model.load_state_dict(torch.load("own.pth", weights_only=True))
    return model

def new_head():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 3))
    model[1].load_state_dict(dict(weight=torch.ones(32, 64), bias=torch.zeros(32)))
    return model

instance = net()
class Network(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 3))

def needs(width, num_classes):
    return net()

def seeds_itself():
    torch.manual_seed(5)
    return net()
"""
GREY = PreprocessingOptions(mean="0.5", std="0.5", resize=8, crop=8)


@pytest.fixture
def returned(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("returned.py").write_text(RETURNED, encoding="utf-8")
    torch.save({"1.weight": torch.full((3, 64), 0.5), "1.bias": torch.zeros(3)}, "own.pth")
    monkeypatch.delitem(sys.modules, "returned", raising=False)


@pytest.mark.usefixtures("returned")
@pytest.mark.parametrize("weights_", [None, "none"])
@pytest.mark.parametrize("name", ["with_weights", "instance"])
def test_a_function_that_loads_its_weights_is_taken_as_it_is(name: str, weights_: str | None) -> None:
    notes = Notes()
    found = loaded(model=f"returned:{name}", weights=weights_, options=GREY, reporter=notes)
    assert found.origin == "as its function returns it"
    assert notes.said == [f"returned:{name} is taken with the weights that its function returns"]
    assert name == "instance" or float(found.model[1].weight[0, 0]) == 0.5


@pytest.mark.usefixtures("returned")
def test_weights_are_called_random_only_where_they_are() -> None:
    notes = Notes()
    assert loaded(model="returned:net", weights="none", options=GREY, reporter=notes).origin == "random weights"
    assert "random weights (--weights none)" in notes.said[0]
    with pytest.raises(TgrError, match=r"returned:Network returns a network with random weights \(1.weight, 1.bias"):
        loaded(model="returned:Network", options=GREY)
    notes = Notes()
    loaded(model="returned:new_head", options=GREY, reporter=notes)
    assert "a network in which 2.weight, 2.bias are random" in notes.said[0]
    with pytest.raises(TgrError, match="cannot be called without width; name a function that takes num_classes or"):
        loaded(model="returned:needs", options=GREY)


@pytest.mark.usefixtures("returned")
def test_a_function_that_seeds_torch_is_not_called_trained() -> None:
    notes, before = Notes(), torch.get_rng_state()
    loaded(model="returned:seeds_itself", options=GREY, reporter=notes)
    assert "it seeds torch itself, so whether they are trained or random cannot be told" in notes.said[0]
    assert torch.equal(torch.get_rng_state(), before)
