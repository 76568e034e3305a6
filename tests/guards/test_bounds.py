"""Bounds on activations: Ranger's clipping, clipping to zero, NaN, and operations that compute in place."""

import copy
from collections.abc import Iterable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.faults.graph import Network
from tgr_cli.guards.bounds import Bounds, Outside
from tgr_cli.guards.guard import protect
from tgr_cli.guards.operations import BOUNDED, names_of, observed

SHAPE = (3, 8, 8)


class Net(nn.Module):
    """Activations as modules and functions, in place and not, whose result is ignored, pooling and concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.act, self.pool, self.head = nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        y = self.second(x)
        nn.functional.silu(y, inplace=True)
        x = torch.cat([self.pool(x), nn.functional.avg_pool2d(self.act(y), 2)], dim=1)
        return self.head(x.mean((2, 3)))


NAMES = ("act#1", "model#1", "pool", "act#2", "model#2", "model#3")


def built() -> Net:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def net() -> Net:
    return built()


def images(count: int = 3) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def values(net: nn.Module) -> dict[str, Tensor]:
    """Return what every operation that can be bounded gives for three images, by name."""
    seen = []
    with torch.no_grad(), observed(net, lambda operation, value: seen.append((operation, value.clone()))):
        net(images())
    names = names_of([operation for operation, _ in seen])
    return {name: value for name, (operation, value) in zip(names, seen, strict=True) if operation.kind in BOUNDED}


def test_all_are_seen(net: Net) -> None:
    assert sorted(values(net)) == sorted(NAMES)


@pytest.mark.parametrize(
    "activation",
    [
        *(nn.ReLU(), nn.ReLU6(), nn.Hardtanh(), nn.LeakyReLU(), nn.PReLU(), nn.RReLU(), nn.ELU(), nn.SELU(), nn.CELU()),
        *(nn.GELU(), nn.SiLU(), nn.Mish(), nn.Softplus(), nn.Softsign(), nn.Hardswish(), nn.Hardsigmoid()),
        *(nn.Sigmoid(), nn.LogSigmoid(), nn.Tanh(), nn.Tanhshrink(), nn.Hardshrink(), nn.Softshrink(), nn.GLU(1)),
        *(nn.Threshold(0.1, 0.0), nn.Threshold(0.1, 0.0, inplace=True)),
    ],
    ids=str,
)
def test_every_activation_function_is_bounded(activation: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), activation).eval()
    protect(model, [Bounds({"1": (-0.25, 0.25)})], images(1))
    with torch.no_grad():
        assert model(1e3 * images()).abs().max() <= 0.25


def test_profiled_bounds_change_nothing(net: Net) -> None:
    ranges = {name: (float(value.min()), float(value.max())) for name, value in values(net).items()}
    for outside in ("clip", "zero"):
        model = protect(copy.deepcopy(net), [Bounds(ranges, outside)], images(1))
        assert torch.equal(model(images()), net(images()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("outside", ["clip", "zero"])
def test_every_bounded_value_is_within(net: Net, name: str, outside: Outside) -> None:
    model = protect(copy.deepcopy(net), [Bounds({name: (-0.01, 0.05)}, outside)], images(1))
    plain, bounded = values(net)[name], values(model)[name]
    kept = (plain >= -0.01) & (plain <= 0.05)
    assert not kept.all()
    other = torch.zeros(()) if outside == "zero" else plain.clamp(-0.01, 0.05)
    assert torch.equal(bounded, torch.where(kept, plain, other))
    assert not torch.equal(model(images()), net(images()))


@pytest.mark.parametrize(
    ("outside", "limits"),
    [
        ("clip", {"act#1": (-0.01, 0.05), "model#1": (-0.01, 0.05)}),
        ("zero", {"pool": (-0.01, 0.05), "act#2": (-0.01, 0.05)}),
        ("clip", {"model#2": (0.01, 9.0), "model#3": (-9.0, 0.05)}),
    ],
)
def test_values_are_bounded_in_the_graph_too(
    net: Net, outside: Outside, limits: dict[str, tuple[float, float]]
) -> None:
    """An in-place result is bounded where it lies; the logits would differ without any of the bounds."""

    def within(names: Iterable[str]) -> nn.Module:
        return protect(copy.deepcopy(net), [Bounds({name: limits[name] for name in names}, outside)], images(1))

    model = within(limits)
    for name in limits:
        assert not torch.equal(within(limits.keys() - {name})(images()), model(images())), name
    graph = Network.capture(model, SHAPE, batch_size=3)
    assert torch.equal(graph.forward(images()), model(images()))
    assert [site.name for site in graph.sites] == ["first", "second", "head"]


@cache
def bounded(outside: Outside) -> Network:
    model = protect(built(), [Bounds({"act#1": (0.0, 2.0)}, outside)], images(1))
    return Network.capture(model, SHAPE, batch_size=3)


@pytest.mark.parametrize(("outside", "answer"), [("clip", 2.0), ("zero", 0.0)])
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, 1e30])
def test_a_wrong_value_is_bounded(outside: Outside, answer: float, wrong: float) -> None:
    network = bounded(outside)

    def strike(value: float):  # type: ignore[no-untyped-def]
        def struck(value_BN: Tensor) -> Tensor:
            value_BN = value_BN.clone()
            value_BN[1, 7] = value
            return value_BN

        return {"first": struck}

    assert torch.equal(
        network.forward(images(), strike=strike(wrong)), network.forward(images(), strike=strike(answer))
    )


@pytest.mark.parametrize(
    ("outside", "bounds"), [("clip", (-9.0, 9.0)), ("clip", (-0.01, 0.05)), ("zero", (-0.01, 0.05))]
)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_the_bounded_function(
    net: Net, name: str, outside: Outside, bounds: tuple[float, float]
) -> None:
    """Of operations in place too, whose result autograd keeps; compared with differences in double precision."""
    model = protect(net.double(), [Bounds({name: bounds}, outside)], images(1).double())
    x = images().double().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    with torch.no_grad():
        assert torch.equal(model(x), model(x.clone().requires_grad_()))
        way = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).double()
        step = 1e-9 * way
        slope = (model(x + step).sum() - model(x - step).sum()) / 2e-9
    assert float((gradient * way).sum()) == pytest.approx(float(slope), rel=1e-3, abs=1e-4)


def test_refusals(net: Net) -> None:
    with pytest.raises(TgrError, match='bounds in "first", and runs no such activation or pool or cat'):
        protect(net, [Bounds({"first": (0.0, 1.0)})], images(1))
