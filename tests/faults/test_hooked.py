"""Hooked networks, used where torch.export fails: observation, injection, cleanup and messages."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import toy_net
from toys_choosing import Choosing
from toys_choosing import build as choosing

from tgr_cli.errors import TgrError
from tgr_cli.faults import hooked
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto, Delta, FaultBatch, Full, PyTorchFI, Replay
from tgr_cli.faults.graph import Network
from tgr_cli.faults.hooked import HookedNetwork
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.sites import Site
from tgr_cli.reporting import Reporter

from .tokened import Expanded, Shared, TokensFirst, tokened
from .varied import SHAPE_CHW, varied

NONE = Corruption(RangeLimit("none", {}))
LIGHT, DARK = torch.full((1, 8, 8), 0.9), torch.full((1, 8, 8), 0.1)
IMAGES = torch.stack([LIGHT, DARK, DARK, LIGHT]) + 0.05 * torch.rand(
    4, 1, 8, 8, generator=torch.Generator().manual_seed(1)
)


SITES = (  # random images are neither dark nor very light, so `mix` is called twice
    Site("conv", "conv", (2, 2, 2), 8 * 16),
    Site("up", "conv", (2, 3, 3), 8 * 2 * 4),
    Site("table", "linear", (18,), 18 * 3, per_image=False),
    Site("mix#1", "linear", (18,), 18 * 18),
    Site("mix#2", "linear", (18,), 18 * 18),
    Site("head", "linear", (3,), 18 * 3),
)


class Told(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_where_export_fails_modules_are_hooked_and_it_is_said() -> None:
    told = Told()
    network = hooked.capture(choosing(), (1, 8, 8), batch_size=4, reporter=told)
    assert isinstance(network, HookedNetwork)
    (note,) = told.notes
    assert note.startswith("torch.export cannot trace the model (GuardOnDataDependentSymNode: ")
    assert note.endswith(
        ": 5 convolution and linear modules are hooked instead, functional calls cannot be seen, "
        "and the engine full runs one image at a time"
    )
    assert network.facts == {"hooked_modules": 5, "unseen": "functional calls"}
    assert network.sites == SITES
    assert (network.batch_size, network.num_classes, network.input_shape) == (1, 3, (1, 8, 8))
    told = Told()
    graph = hooked.capture(toy_net(), (1, 8, 8), batch_size=4, reporter=told)
    assert (type(graph), graph.facts, told.notes) == (Network, {}, [])


def test_hooks_see_the_sites_and_shapes_of_the_graph() -> None:
    model = varied("residual")
    network, graph = HookedNetwork(model, SHAPE_CHW), Network.capture(model, SHAPE_CHW, batch_size=2)
    assert network.sites == graph.sites
    for kind in ("weight", "bias", "buffer"):
        assert set(network.sites_of(kind)) == set(graph.sites_of(kind))
    assert [site.op for site in HookedNetwork(model, SHAPE_CHW, targets=("linear",)).sites] == ["linear"]


def test_a_fault_changes_its_element_of_its_call_and_nothing_else() -> None:
    network, golden, faulty = HookedNetwork(choosing(), (1, 8, 8)), {}, {}

    def hit(share_BN: Tensor) -> Tensor:
        struck_BN = share_BN.clone()
        struck_BN[0, 5] += 1.0
        return struck_BN

    x_BCHW = IMAGES[:1]
    golden_BC = network.forward(x_BCHW, observe=lambda site, value: golden.update({site.name: value.clone()}))
    faulty_BC = network.forward(
        x_BCHW, strike={"mix#2": hit}, observe=lambda site, value: faulty.update({site.name: value.clone()})
    )
    assert list(golden) == [site.name for site in SITES]
    assert [name for name in golden if not torch.equal(golden[name], faulty[name])] == ["mix#2", "head"]
    assert torch.nonzero(golden["mix#2"] != faulty["mix#2"]).tolist() == [[0, 5]]
    assert not torch.equal(golden_BC, faulty_BC)
    for _ in range(2):  # calls are numbered from 1 in every forward pass
        assert torch.equal(network.forward(x_BCHW), golden_BC)
    with torch.inference_mode():
        assert torch.equal(golden_BC, network.model(x_BCHW))


@pytest.mark.parametrize("kind", [Full, Auto], ids=lambda kind: kind.name)
def test_each_image_goes_its_own_way_and_a_call_it_leaves_out_cannot_fail(kind: type[Full] | type[Auto]) -> None:
    model = choosing()
    network = HookedNetwork(model, (1, 8, 8))
    engine = kind(model, network, NONE)
    golden_NC = engine.prepare(IMAGES)
    with torch.inference_mode():
        assert torch.equal(golden_NC, torch.cat([model(image[None]) for image in IMAGES]))
    struck = engine.inject(FaultBatch(SITES[4], *torch.tensor([[0, 1, 2, 3], [4, 4, 5, 5], [31, 31, 31, 31]])))
    moved = (struck.logits_FC != golden_NC).any(dim=1)
    assert moved.tolist() == [True, False, False, True]
    assert struck.before_F.isnan().tolist() == struck.after_F.isnan().tolist() == [False, True, True, False]
    assert torch.equal(struck.flipped_F[moved], -struck.before_F[moved])


def test_weights_are_struck_for_all_calls_of_an_image() -> None:
    model = choosing()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    network = HookedNetwork(model, (1, 8, 8))
    assert {site.name: site.macs for site in network.parameter_sites} == {
        "conv.weight": 128,
        "conv.bias": 128,
        "up.weight": 64,
        "up.bias": 64,
        "table.weight": 54,
        "mix.weight": 648,
        "mix.bias": 648,
        "head.weight": 54,
        "head.bias": 54,
        "coordinates": 0,
    }
    engine = Auto(model, network, NONE)
    engine.prepare(IMAGES)
    for name in ("mix.weight", "head.bias", "coordinates"):
        site = next(site for site in network.parameter_sites if site.name == name)
        struck = engine.inject(FaultBatch(site, *torch.tensor([[0, 1, 3], [2, 2, 2], [31, 31, 31]])))
        broken = choosing()
        tensors = {**dict(broken.named_parameters()), **dict(broken.named_buffers())}
        tensors[name].data.view(-1)[2] *= -1
        with torch.inference_mode():
            expected = torch.cat([broken(IMAGES[row][None]) for row in (0, 1, 3)])
        assert torch.equal(struck.logits_FC, expected)
        np.testing.assert_array_equal(struck.flipped_F, -struck.before_F)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


class Failing(Choosing):
    fails = False

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if self.fails:
            self.mix(self.up(self.conv(x_BCHW)).flatten(1))
            raise RuntimeError("no memory left")
        return super().forward(x_BCHW)


def test_hooks_and_weights_are_back_also_after_an_exception_within() -> None:
    model = Failing().eval()
    network = HookedNetwork(model, (1, 8, 8))
    own = dict((*model.named_parameters(), *model.named_buffers()))
    state = {name: value.clone() for name, value in own.items()}
    engine, fast = Full(model, network, NONE), torch.backends.mha.get_fastpath_enabled()
    engine.prepare(IMAGES)
    model.fails = True
    for site in (SITES[0], network.sites_of("weight")[0], network.sites_of("buffer")[0]):
        with pytest.raises(RuntimeError, match="no memory left"):
            engine.inject(FaultBatch(site, *torch.tensor([[0], [0], [31]])))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.backends.mha.get_fastpath_enabled() == fast
    after = dict((*model.named_parameters(), *model.named_buffers()))
    assert all(after[name] is value and torch.equal(value, state[name]) for name, value in own.items())


@pytest.mark.parametrize("kind", [Replay, Delta, PyTorchFI], ids=lambda kind: kind.name)
def test_engines_that_need_a_graph_refuse(kind: type[Replay]) -> None:
    model = choosing()
    words = rf"the engine {kind.name} needs the model's graph, and torch.export cannot trace the model; use --engine fu"
    with pytest.raises(TgrError, match=words):
        kind(model, HookedNetwork(model, (1, 8, 8)), NONE)  # type: ignore[arg-type]


class Counting(Choosing):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("runs", torch.tensor([0.0, torch.nan]))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        self.runs = self.runs + 1
        return super().forward(x_BCHW)


class Growing(Choosing):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        rows = 1 if x_BCHW.mean() > 0.3 else 2
        return self.head(self.mix(self.conv(x_BCHW).flatten(1).repeat(rows, 3)[:, :18])[:1])


class Mapping(Choosing):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv(x_BCHW) if x_BCHW.mean() > 0.3 else x_BCHW


class Broken(Choosing):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        raise ValueError("two\nlines")


@pytest.mark.parametrize(
    ("model", "targets", "words"),
    [
        (Counting, ("linear",), r'the model changes its buffer "runs" when it runs; take that out of its forward'),
        (
            Mapping,
            ("conv",),
            r"the model returns \[\(1, 2, 2, 2\)\], where one tensor of logits \(images, classes\) is",
        ),
        (
            Choosing,
            ("matmul",),
            r"the model has no convolution or linear module among the targets matmul, and torch.ex",
        ),
        (Broken, ("conv",), r"the model fails on a random image of 1×8×8 \(ValueError: two lines\); check it and"),
    ],
)
def test_what_hooks_cannot_do_either_is_refused(model: type[nn.Module], targets: tuple[str, ...], words: str) -> None:
    built = model().eval()
    buffers = {name: (value, value.clone()) for name, value in built.named_buffers()}
    with pytest.raises(TgrError, match=words):
        hooked.capture(built, (1, 8, 8), batch_size=2, targets=targets)
    for name, value in built.named_buffers():
        assert value is buffers[name][0]
        assert torch.equal(value.nan_to_num(-1), buffers[name][1].nan_to_num(-1))


def test_an_output_of_another_shape_is_refused() -> None:
    network = HookedNetwork(Growing().eval(), (1, 8, 8))
    network.forward(LIGHT[None])
    with pytest.raises(TgrError, match=r'output of site "mix" has 36 elements for one image and 18 for another, so '):
        network.forward(DARK[None])


@pytest.mark.parametrize("kind", [Expanded, Shared, TokensFirst])
def test_a_layer_on_a_learned_token_is_per_image_where_it_has_a_row_for_each(kind: type[nn.Module]) -> None:
    model = tokened(kind)  # type: ignore[arg-type]
    graph = {site.name: site for site in Network.capture(model, (1, 8, 8), batch_size=2).sites}
    for site in HookedNetwork(model, (1, 8, 8)).sites:  # hooks do not see inside attention
        assert graph.get(site.name, site) == site
