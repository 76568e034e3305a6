"""The captured network: bitwise equal to the model, with named sites, batch axes, observation and injection."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.graph import Network
from tgr_cli.faults.sites import Site
from tgr_cli.models import zoo

from .awkward import awkward

EVERYTHING = ("conv", "linear", "matmul")


@cache
def awkward_network(batch_size: int) -> Network:
    """Return the awkward network with every kind of site, captured once for all tests."""
    return Network.capture(awkward(), (1, 8, 8), batch_size=batch_size, targets=EVERYTHING)


def images(count: int, *shape: int, seed: int = 1) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_logits_are_bitwise_the_models_and_weights_are_shared(batch_size: int) -> None:
    model, x_BCHW = toy_net(), images(batch_size, 1, 8, 8)
    network = Network.capture(model, (1, 8, 8), batch_size=batch_size)
    with torch.no_grad():
        assert torch.equal(network.forward(x_BCHW), model(x_BCHW))
        model.fc.bias.add_(1.0)
        assert torch.equal(network.forward(x_BCHW), model(x_BCHW))
    assert {p.data_ptr() for p in model.parameters()} == {c.data_ptr() for c in network.constants.values()}
    assert (network.batch_size, network.num_classes) == (batch_size, 3)


def test_logits_of_a_library_network_are_bitwise_its_own() -> None:
    model, x_BCHW = zoo.build("resnet20", 10).eval(), images(2, 3, 16, 16)
    network = Network.capture(model, (3, 16, 16), batch_size=2)
    with torch.inference_mode():
        assert torch.equal(network.forward(x_BCHW), model(x_BCHW))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_number_formats_are_captured_as_they_are(dtype: torch.dtype) -> None:
    model, x_BCHW = toy_net().to(dtype), images(2, 1, 8, 8)
    network = Network.capture(model, (1, 8, 8), batch_size=2)
    with torch.inference_mode():
        assert torch.equal(network.forward(x_BCHW), model(x_BCHW.to(dtype)))


def test_the_model_and_the_global_generator_are_left_as_they_were() -> None:
    model = toy_net()
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    fast = torch.backends.mha.get_fastpath_enabled()
    Network.capture(model, (1, 8, 8), batch_size=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks or module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mha.get_fastpath_enabled() == fast


AWKWARD_SITES = (
    Site("patches", "conv", (4, 2, 2), 4 * 4 * 16),
    Site("bias.table", "linear", (4, 4), 4 * 4 * 2, per_image=False),
    Site("twice#1", "linear", (4, 4), 4 * 4 * 4),
    Site("twice#2", "linear", (4, 4), 4 * 4 * 4),
    Site("functional", "linear", (4, 4), 4 * 4 * 4),
    Site("attention", "linear", (4, 12), 4 * 12 * 4),
    Site("attention.matmul#1", "matmul", (2, 4, 4), 2 * 4 * 4 * 2),
    Site("attention.matmul#2", "matmul", (2, 4, 2), 2 * 4 * 2 * 4),
    Site("attention.out_proj", "linear", (4, 4), 4 * 4 * 4),
    Site("matmul#1", "matmul", (4, 4), 4 * 4 * 4),
    Site("matmul#2", "matmul", (4, 4), 4 * 4 * 4),
    Site("up", "conv", (2, 4, 4), 4 * 2 * 2 * 2 * 4),
    Site("head_matrix", "linear", (3,), 4 * 3),
)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_sites_are_named_divided_and_counted_whatever_calls_them(batch_size: int) -> None:
    model, x_BCHW = awkward(), images(batch_size, 1, 8, 8)
    network = awkward_network(batch_size)
    assert network.sites == AWKWARD_SITES
    torch.testing.assert_close(network.forward(x_BCHW), model(x_BCHW).detach(), rtol=1e-5, atol=1e-6)


def test_targets_choose_among_the_sites_and_change_no_name() -> None:
    network = Network.capture(awkward(), (1, 8, 8), batch_size=2)
    assert network.sites == tuple(site for site in AWKWARD_SITES if site.op != "matmul")


@pytest.mark.parametrize("site", AWKWARD_SITES, ids=lambda site: site.name)
def test_a_strike_changes_its_element_and_no_other_images_logits(site: Site) -> None:
    network = awkward_network(3)
    x_BCHW, row, element = images(3, 1, 8, 8), 1 if site.per_image else 0, site.neurons - 2
    golden, faulty = {}, {}

    def hit(share_BN: Tensor) -> Tensor:
        assert share_BN.shape == (3 if site.per_image else 1, site.neurons)
        struck_BN = share_BN.clone()
        struck_BN[row, element] += 1000.0
        return struck_BN

    golden_BC = network.forward(x_BCHW, observe=lambda seen, value: golden.update({seen.name: value.clone()}))
    faulty_BC = network.forward(
        x_BCHW, strike={site.name: hit}, observe=lambda seen, value: faulty.update({seen.name: value.clone()})
    )
    assert list(golden) == [site.name for site in AWKWARD_SITES]
    moved = torch.nonzero(golden[site.name] != faulty[site.name])
    assert moved.tolist() == [[row, element]]
    rows = (golden_BC != faulty_BC).any(dim=1)
    assert rows.tolist() == ([False, True, False] if site.per_image else [True, True, True])
    assert torch.equal(network.forward(x_BCHW), golden_BC)


def test_an_images_share_is_the_same_in_every_batch() -> None:
    x_BCHW, seen = images(3, 1, 8, 8), {}
    for batch_size in (1, 3):
        network = awkward_network(batch_size)
        network.forward(
            x_BCHW[:batch_size], observe=lambda s, v, b=batch_size: seen.update({(s.name, b): v[0].clone()})
        )
    for site in AWKWARD_SITES:
        torch.testing.assert_close(seen[site.name, 1], seen[site.name, 3])


def test_strides_of_a_struck_output_stay() -> None:
    class Strided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 1)
            self.strides: tuple[int, ...] = ()

        def forward(self, x_BCHW: Tensor) -> Tensor:
            return self.conv(x_BCHW.to(memory_format=torch.channels_last)).mean(dim=(2, 3))

    network, strides = Network.capture(Strided().eval(), (2, 3, 3), batch_size=2), []
    original = network.struck

    def recorded(call, value, function):  # type: ignore[no-untyped-def]
        struck = original(call, value, function)
        strides.append((value.stride(), struck.stride()))
        return struck

    network.struck = recorded  # type: ignore[method-assign]
    network.forward(images(2, 2, 3, 3), strike={"conv": lambda share_BN: share_BN * 2})
    ((before, after),) = strides
    assert before == after == (36, 1, 12, 4)


class BatchMean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        flat = x_BCHW.flatten(1)
        return self.fc(flat - flat.mean(dim=0, keepdim=True))


class BatchNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, track_running_stats=False)
        self.body, self.fc = nn.Linear(64, 4), nn.Linear(4, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.fc(self.body(self.norm(x_BCHW).flatten(1)))


class Shift(nn.Module):
    def forward(self, x_BC: Tensor) -> Tensor:
        return x_BC + x_BC.roll(1, dims=0)


class Rolled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.shift, self.last = nn.Linear(64, 4), Shift(), nn.Linear(4, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.last(self.shift(self.fc(x_BCHW.flatten(1))))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.fc(x_BCHW.flatten(1)) if x_BCHW.sum() > 0 else x_BCHW


class Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv(x_BCHW)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 3)
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        self.runs.add_(1)
        return self.fc(x_BCHW.flatten(1))


@pytest.mark.parametrize(
    ("model", "targets", "words"),
    [
        (
            BatchMean,
            ("linear",),
            r"the other images of its batch \(the first to mix them is mean\), so faults of one",
        ),
        (
            BatchNormed,
            ("linear",),
            r'them is a batch norm in "norm", which takes its statistics from the batch\), so',
        ),
        (
            Rolled,
            ("linear",),
            r'mix them is roll in "shift"\), so faults of one batch would affect one another; use a',
        ),
        (Branching, ("linear",), r"torch.export cannot trace the model \(GuardOnDataDependentSymNode: "),
        (Features, ("conv",), r"the model returns \[\(2, 2, 8, 8\)\], where one tensor of logits"),
        (Counting, ("linear",), r'the model changes its buffer "runs" when it runs; take that out of its forward'),
        (toy_net, ("conv", "pool"), r'"pool" is no kind of site; choose among conv, linear, matmul'),
        (toy_net, ("matmul",), r"the model has no site among the targets matmul; choose others"),
    ],
)
def test_what_cannot_be_captured_is_refused_in_a_sentence(model: type, targets: tuple[str, ...], words: str) -> None:
    with pytest.raises(TgrError, match=words):
        Network.capture(model().eval(), (1, 8, 8), batch_size=2, targets=targets)
