"""Patterns in the engines: `full` against values written by hand, and the others against `full`."""

from functools import cache, partial

import pytest
import torch
from torch import Tensor, nn
from toys import toy_net
from toys_choosing import build as choosing

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto, Delta, Engine, FaultBatch, Full, Replay
from tgr_cli.faults.graph import Network
from tgr_cli.faults.hooked import HookedNetwork
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.patterns import Pattern, pattern_named
from tgr_cli.faults.patterns.by_operation import ByOperation
from tgr_cli.faults.patterns.offsets import Offsets
from tgr_cli.metrics.outcomes import agree, judge

from ..awkward import awkward
from ..varied import SHAPE_CHW, varied
from ..windowed import windowed

SCATTERED = Offsets("scattered", ((1, 0, 0), (0, 1, 1), (-1, 0, 2)))
NAMED = {
    name: pattern_named(name) for name in ("row", "column", "channel", "block:height=2,width=2", "several:count=3")
}
LIKELY = tuple((1 / 6, pattern) for pattern in (*NAMED.values(), SCATTERED))
PATTERNS: dict[str, Pattern] = {
    **NAMED,
    "scattered": SCATTERED,
    "file": ByOperation("", "", dict.fromkeys(("conv", "linear", "matmul"), LIKELY)),
}


NETWORKS = {
    "toy": (toy_net, (1, 8, 8)),
    "awkward": (awkward, (1, 8, 8)),
    "residual": (lambda: varied("residual"), SHAPE_CHW),
    "swin": (lambda: windowed("swin"), (3, 32, 32)),
    "vit": (lambda: windowed("vit"), (3, 32, 32)),
}


@cache
def subject(name: str) -> tuple[nn.Module, Network, Tensor]:
    build, shape = NETWORKS[name]
    model = build()
    images = torch.randn(5, *shape, generator=torch.Generator().manual_seed(1))
    return model, Network.capture(model, shape, batch_size=4), images


@cache
def bounds(name: str) -> dict[str, float]:
    _, network, images = subject(name)
    found: dict[str, float] = {}
    network.forward(images[:4], observe=lambda site, value: found.update({site.name: float(value.abs().max())}))
    return found


def ready(kind: type[Engine], name: str, pattern: Pattern, mode: str = "clamp") -> tuple[Engine, Tensor]:
    model, network, images = subject(name)
    corruption = Corruption(RangeLimit(mode, bounds(name) if mode == "clamp" else {}), pattern=pattern)  # type: ignore[arg-type]
    engine = kind(model, network, corruption)
    return engine, engine.prepare(images)


def strikes(name: str, pattern: Pattern, count: int) -> list[FaultBatch]:
    generator = torch.Generator().manual_seed(2)
    _, network, images = subject(name)
    return [
        FaultBatch(site, *(torch.randint(0, bound, (count,), generator=generator) for bound in bounds))
        for site in network.sites
        for bounds in [(len(images), site.neurons, 32, pattern.count(site.op))]
    ]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_full_strikes_the_elements_and_no_other(pattern: str) -> None:
    model, network, images = subject("toy")
    engine, _ = ready(Full, "toy", PATTERNS[pattern], "none")
    for strike in strikes("toy", PATTERNS[pattern], 4):
        found, site = engine.inject(strike), strike.site
        elements = PATTERNS[pattern].elements(site.op, network.layout(site), strike.elements_F, strike.footprints)
        for fault in range(4):
            mask = torch.tensor([1 << int(strike.choices_F[fault])]).to(torch.int32)
            handle = model.get_submodule(site.name).register_forward_hook(
                partial(flipped, fault, elements[fault][elements[fault] >= 0], mask)
            )
            with torch.inference_mode():
                logits = model(images[strike.rows_F])
            handle.remove()
            torch.testing.assert_close(found.logits_FC[fault], logits[fault], rtol=0, atol=0, equal_nan=True)


def flipped(row: int, elements: Tensor, mask: Tensor, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    """Return an output in which the bits of `mask` flip in these elements of one row."""
    flat = output[row].flatten().clone()
    flat[elements] = (flat[elements].view(torch.int32) ^ mask).view(torch.float32)
    output[row] = flat.view_as(output[row])
    return output


@pytest.mark.parametrize(
    ("name", "pattern"), [*((name, "file") for name in NETWORKS), *(("residual", pattern) for pattern in NAMED)]
)
def test_the_engines_agree_with_full(name: str, pattern: str) -> None:
    full, golden_NC = ready(Full, name, PATTERNS[pattern])
    fast = [ready(kind, name, PATTERNS[pattern])[0] for kind in (Replay, Delta)]
    for strike in strikes(name, PATTERNS[pattern], 24 if pattern == "file" else 8):
        right, labels_F = full.inject(strike), golden_NC[strike.rows_F].argmax(dim=1)
        expected = judge(golden_NC[strike.rows_F], right.logits_FC, labels_F)
        for engine in fast:
            found = engine.inject(strike)
            off_F = (found.before_F - right.before_F).abs()
            assert (off_F <= 1e-6 * right.before_F.abs().amax()).all()
            judged = judge(golden_NC[strike.rows_F], found.logits_FC, labels_F)
            for fault in range(len(labels_F)):
                pair = [(str(each.outcome[fault]), float(each.dloss[fault])) for each in (judged, expected)]
                assert agree(*pair[0], *pair[1]), (engine.name, strike.site.name, fault, pair)


def test_delta_follows_what_is_small_and_replays_what_fills_the_map() -> None:
    small, _ = ready(Delta, "residual", PATTERNS["row"])
    large, _ = ready(Delta, "residual", PATTERNS["channel"])
    assert isinstance(small, Delta)
    assert isinstance(large, Delta)
    strike = strikes("residual", PATTERNS["row"], 20)[0]
    small.inject(strike)
    large.inject(strike)
    assert large.doubted == 20
    assert small.doubted < 10


def test_one_choice_strikes_all_elements() -> None:
    model, network, images = subject("toy")
    corruption = Corruption(RangeLimit("none", {}), pattern=pattern_named("channel"))
    engine = Full(model, network, corruption)
    engine.prepare(images)
    seen: list[Tensor] = []
    site = network.sites[0]
    elements = corruption.pattern.elements(site.op, network.layout(site), torch.tensor([70]), torch.tensor([0]))
    network.forward(images[:4], observe=lambda s, v: seen.append(v[0].clone()) if s is site else None)
    after = corruption.chosen(site, elements.clamp_min(0), seen[0][elements.clamp_min(0)], torch.tensor([[31]])).seen
    assert torch.equal(after, -seen[0][elements.clamp_min(0)])
    assert sorted(elements[elements >= 0].tolist()) == list(range(64, 128))


@pytest.mark.parametrize("pattern", ["row", "channel", "several:count=4"])
def test_tensors_are_struck_and_restored(pattern: str) -> None:
    model, network, images = subject("toy")
    corruption = Corruption(RangeLimit("none", {}), pattern=pattern_named(pattern))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for site in network.parameter_sites:
        strike = FaultBatch(site, torch.tensor([0, 1]), torch.full((2,), site.neurons - 1), torch.full((2,), 31))
        elements = corruption.pattern.elements(site.op, network.layout(site), strike.elements_F, strike.footprints)[0]
        changed = state[site.name].clone()
        changed.view(-1)[elements[elements >= 0]] *= -1
        with torch.inference_mode():
            expected = torch.func.functional_call(model, {site.name: changed}, (images[:4],))[:2]
        for kind in (Full, Auto):
            engine = kind(model, network, corruption)
            engine.prepare(images)
            torch.testing.assert_close(engine.inject(strike).logits_FC, expected, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_hooked_networks_are_struck_like_others() -> None:
    model = choosing()
    network = HookedNetwork(model, (1, 8, 8))
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    site = next(site for site in network.sites if site.name == "conv")  # 2 channels of 2×2
    engine = Full(model, network, Corruption(RangeLimit("none", {}), pattern=pattern_named("channel")))
    engine.prepare(images)
    strike = FaultBatch(site, *torch.tensor([[0, 1, 2], [0, 3, 5], [31, 31, 31]]))
    found = engine.inject(strike)

    def negated(module: nn.Module, inputs: object, output: Tensor, channel: int) -> Tensor:
        output[0, channel] *= -1
        return output

    for fault, channel in enumerate((0, 0, 1)):
        handle = model.get_submodule("conv").register_forward_hook(
            lambda *seen, channel=channel: negated(*seen, channel=channel)
        )
        with torch.inference_mode():
            logits = model(images[fault : fault + 1])
        handle.remove()
        assert torch.equal(found.logits_FC[fault], logits[0])


def test_a_footprint_that_does_not_exist_is_refused() -> None:
    engine, _ = ready(Full, "toy", PATTERNS["row"])
    site = subject("toy")[1].sites[0]
    with pytest.raises(TgrError, match=r'footprint 1 does not exist at site "conv1"; they are 0 to 0'):
        engine.inject(FaultBatch(site, *torch.tensor([[0], [0], [0], [1]])))
