"""The trial run of a user's network before any work: changed inputs, and the form of the output."""

import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tgr_cli.data.preprocessing import Preprocessing
from tgr_cli.errors import TgrError
from tgr_cli.models import zoo
from tgr_cli.models.from_user import _with_modes
from tgr_cli.models.trial import keep_input, refuse_scripted, try_out

GREY = Preprocessing(resize=None, crop=4, mean=(0.5,), std=(0.5,), channels=1)
Output = namedtuple("Output", ("logits", "hidden"))


class Net(nn.Module):
    """Returns `after` of 3 logits."""

    def __init__(self, after: object = lambda y: y) -> None:
        super().__init__()
        self.fc, self.after = nn.Linear(16, 3), after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.fc(x.flatten(1)))  # type: ignore[operator]


class Shifting(Net):
    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5).div_(0.25)
        return super().forward(x)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (lambda y: y.squeeze(), r"\(3,\).*it answers two with \(2, 3\), so its forward drops the axis of the images"),
        (lambda y: y[:, :, None, None], r"let its forward flatten them, with flatten\(1\)"),
        (lambda y: {"logits": y, "hidden": y}, "a dict, .*one of logits, hidden"),
        (lambda y: (y, y[:, :1]), r"a tuple, .*it returns \(1, 3\), \(1, 1\)"),
        (lambda y: Output(y, y), r"let the function return a module whose forward gives the \.logits of this alone"),
        (lambda y: y[:, :2], "let the function take num_classes, or name the data set"),
        (lambda y: y.argmax(1, keepdim=True).expand(1, 3), "answers with torch.int64, where floating-point logits"),
        (lambda y: y.softmax(1), r"probabilities \(none is below 0, .* a second softmax; leave the softmax"),
        (lambda y: (y * 1000).softmax(1), "answers with probabilities"),
        (lambda y: y.bfloat16().softmax(1), "answers with probabilities"),
        (lambda y: y.abs() / y.abs().sum(1, keepdim=True), "answers with probabilities"),
    ],
)
def test_answers_that_are_no_logits(after: object, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("nets.py").write_text("def build(): pass", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    with pytest.raises(TgrError, match=words):
        try_out(zoo.entry("nets:build"), Net(after).eval(), GREY, 3, torch.device("cpu"))


@pytest.mark.parametrize(
    "after",
    [
        lambda y: y.log_softmax(1),  # its softmax gives the same probabilities
        lambda y: y.sigmoid(),
        lambda y: y.softmax(1) * 2,
        lambda y: y - y.mean(1, keepdim=True) + 1 / 3,  # sums to 1, with values below 0
    ],
)
def test_answers_that_are_logits(after: object, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("nets.py").write_text("def build(): pass", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    torch.manual_seed(0)
    net = Net(lambda y: after(4 * y)).eval()  # type: ignore[operator]
    try_out(zoo.entry("nets:build"), net, GREY, 3, torch.device("cpu"))


def test_a_network_that_changes_its_input_is_given_copies() -> None:
    torch.manual_seed(0)
    x_BCHW, net = torch.rand(2, 1, 4, 4), Shifting().eval()
    expected, before = net(x_BCHW.clone()), x_BCHW.clone()
    keep_input(net, x_BCHW)
    assert torch.equal(x_BCHW, before)
    assert torch.equal(net(x_BCHW), expected)
    assert torch.equal(x_BCHW, before)
    keep_input(plain := Net().eval(), x_BCHW)
    assert not plain._forward_pre_hooks


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_scripted_and_traced_networks_cannot_be_struck() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    for module in (torch.jit.script(plain), torch.jit.trace(plain, torch.rand(1, 1, 4, 4))):
        with pytest.raises(TgrError, match="returns a scripted or traced module, whose operations cannot be struck"):
            refuse_scripted(module, "nets:build")
    refuse_scripted(plain, "nets:build")


def exported(size: int, **given: object) -> nn.Module:
    """Return a network as a user's function returns it, exported for this number of images, in evaluation mode."""
    model = _with_modes(torch.export.export(Net().eval(), (torch.rand(size, 1, 4, 4),), **given).module())  # type: ignore[arg-type]
    for module in model.modules():
        module.training = False
    return model


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_model_exported_for_batches_of_one_size_is_refused_with_what_to_export(size: int) -> None:
    words = rf"exported for batches of {size} alone.*dynamic_shapes=\(\{{0: torch.export.Dim"
    with pytest.raises(TgrError, match=words):
        try_out(zoo.entry("toys:build"), exported(size), GREY, 3, torch.device("cpu"))


def test_a_model_exported_for_batches_of_any_size_is_taken() -> None:
    model = exported(2, dynamic_shapes=({0: torch.export.Dim("images")},))
    try_out(zoo.entry("toys:build"), model, GREY, 3, torch.device("cpu"))
