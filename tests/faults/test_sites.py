"""Sites: names of repeated calls, and published counts."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tgr_cli.errors import TgrError
from tgr_cli.faults import hooked
from tgr_cli.faults.export import ExportError
from tgr_cli.faults.sites import Site, numbered
from tgr_cli.steps import sites as step


def test_only_repeated_calls_are_numbered() -> None:
    assert numbered(["a", "b", "a", "c", "a"]) == ["a#1", "b", "a#2", "c", "a#3"]


def test_neurons_are_the_elements_of_one_image() -> None:
    assert Site("c", "conv", (4, 8, 8), 2304).neurons == 256


def _no_graph(*_: object, **__: object) -> None:
    raise ExportError("no graph")


@pytest.mark.parametrize(
    ("model", "convs", "fmaps", "neurons", "hooks"),
    [
        ("squeezenet1_1", 26, 3944, 2589352, False),
        ("shufflenet_v2_x1_0", 56, 8090, 1950200, True),  # whose graph takes many seconds
    ],  # ISSRE 2021, table I
)
def test_counts_are_the_published_ones(
    model: str, convs: int, fmaps: int, neurons: int, hooks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if hooks:
        monkeypatch.setattr(hooked.Network, "capture", _no_graph)
    result = step.run(step.Config(model=model, targets="conv"))
    sites = result.sites
    assert len(sites) == convs
    assert sum(result.feature_maps) == fmaps
    assert sum(site.neurons for site in sites) == neurons


def test_the_number_of_classes_and_the_crop_are_those_asked_for() -> None:
    result = step.run(step.Config(model="lenet5", num_classes=7, crop=32))
    assert result.input_shape == (1, 32, 32)
    assert (result.sites[-1].shape, result.sites[-1].macs) == ((7,), 84 * 7)
    with pytest.raises(TgrError, match=r"--num-classes is 0; give at least 1"):
        step.Config(model="lenet5", num_classes=0)


class Tied(nn.Module):
    """Two convolutions, two matrices and a functional call, each pair on one weight; one layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)
        self.second.weight = self.first.weight
        self.encode, self.decode = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.decode.weight = self.encode.weight
        self.last = self.same = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.decode(self.encode(self.second(self.first(x)).flatten(1)))
        return nn.functional.linear(self.same(self.last(x)), self.encode.weight)


def test_calls_on_a_shared_weight_are_named_after_the_layers_that_run_them() -> None:
    network = hooked.capture(Tied().eval(), (1, 2, 2), batch_size=2, targets=("conv", "linear"))
    names = [site.name for site in network.sites_of("neuron")]
    assert names[:4] == ["first", "second", "encode", "decode#1"]
    assert sorted(names[4:6]) == ["last", "same"]
    assert names[6] == "decode#2"  # no layer runs the functional call: the weight's name in the graph
    assert [site.name for site in network.sites_of("weight")] == ["first.weight", "encode.weight", "last.weight"]


def test_models_of_one_channel_are_named_by_mean_and_std(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("gray.py").write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 10))\n"
    )
    monkeypatch.syspath_prepend(".")
    result = step.run(step.Config(model="gray:build", num_classes=10, crop=8, mean="0.5", std="0.25"))
    assert (result.input_shape, [site.shape for site in result.sites]) == ((1, 8, 8), [(2, 6, 6), (10,)])
    with pytest.raises(TgrError, match="for one channel, give --mean and --std of one value each"):
        step.run(step.Config(model="gray:build", num_classes=10, crop=8))
    with pytest.raises(TgrError, match="--mean has 1 values for 3 channels; give one a channel"):
        step.run(step.Config(model="resnet20", mean="0.5", std="0.25"))
