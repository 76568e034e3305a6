"""The fast engines against the reference: logits, outcomes and cleanup."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto, Delta, Engine, FaultBatch, FaultEffects, Full, Replay, memory
from tgr_cli.faults.engines import delta as delta_module
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.upset import flip
from tgr_cli.metrics.outcomes import agree, judge

from ..awkward import awkward
from ..varied import SHAPE_CHW, VARIED, varied

NONE = Corruption(RangeLimit("none", {}))
FAST = (Replay, Delta, Auto)


@cache
def subject(name: str) -> tuple[nn.Module, Network, Tensor]:
    """Return a network, captured for 4 images, and 6 images."""
    shape = SHAPE_CHW if name in VARIED else (1, 8, 8)
    model = varied(name) if name in VARIED else {"toy": toy_net, "awkward": awkward}[name]()
    images = torch.randn(6, *shape, generator=torch.Generator().manual_seed(1))
    return model, Network.capture(model, shape, batch_size=4), images


def ready(kind: type[Engine], name: str, corruption: Corruption = NONE) -> tuple[Engine, Tensor]:
    model, network, images = subject(name)
    engine = kind(model, network, corruption)
    return engine, engine.prepare(images)


def strikes(name: str, count: int, seed: int = 2) -> list[FaultBatch]:
    generator = torch.Generator().manual_seed(seed)
    _, network, images = subject(name)
    return [
        FaultBatch(site, *(torch.randint(0, bound, (count,), generator=generator) for bound in bounds))
        for site in network.sites
        for bounds in [(len(images), site.neurons, 32)]
    ]


@cache
def oracle(name: str, mode: str) -> tuple[Corruption, Tensor, list[FaultEffects]]:
    """Return a corruption, golden logits, and the results of `full` for 40 faults per site (5 at shared sites)."""
    ranges: dict[str, float] = {}
    _, network, images = subject(name)
    network.forward(images[:4], observe=lambda site, value: ranges.update({site.name: float(value.abs().max())}))
    corruption = Corruption(RangeLimit(mode, ranges if mode == "clamp" else {}))  # type: ignore[arg-type]
    engine, golden_NC = ready(Full, name, corruption)
    return corruption, golden_NC, [engine.inject(strike) for strike in strikes(name, 40)]


@pytest.mark.parametrize("mode", ["none", "clamp"])
@pytest.mark.parametrize("kind", FAST, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["toy", "awkward", *VARIED])
def test_every_fault_comes_out_as_the_oracle_has_it(name: str, kind: type[Engine], mode: str) -> None:
    corruption, golden_NC, expected = oracle(name, mode)
    engine, own_golden_NC = ready(kind, name, corruption)
    assert torch.equal(own_golden_NC, golden_NC)
    for strike, right in zip(strikes(name, 40), expected, strict=True):
        found = engine.inject(strike)
        # Rounding depends on the position in the batch, so values and logits are equal up to rounding only.
        off_F = (found.before_F - right.before_F).abs()
        assert (off_F <= 1e-6 * right.before_F.abs().amax()).all()
        flipped_F = flip(found.before_F, strike.choices_F)
        for values, own_F in {
            "flipped_F": flipped_F,
            "after_F": corruption.limit.apply(strike.site.name, flipped_F),
        }.items():
            torch.testing.assert_close(getattr(found, values), own_F, rtol=0, atol=0, equal_nan=True)
        rounding_F = ((found.after_F - right.after_F).abs() / right.after_F.abs()).nan_to_num(0, 0)
        size_F = right.logits_FC.abs().amax(dim=1)
        finite_F = size_F.isfinite()
        assert torch.equal(found.logits_FC.isfinite().all(dim=1), finite_F)
        moved_F = (found.logits_FC - right.logits_FC).abs().amax(dim=1)[finite_F]
        close_F = (1e-6 if kind is Replay else 5e-6) + rounding_F
        assert (moved_F <= (close_F * size_F)[finite_F]).all(), strike.site.name
        labels_F = golden_NC[strike.rows_F].argmax(dim=1)
        judged = [judge(golden_NC[strike.rows_F], each.logits_FC, labels_F) for each in (found, right)]
        for fault in range(len(labels_F)):
            (one, other) = ((str(j.outcome[fault]), float(j.dloss[fault])) for j in judged)
            assert agree(*one, *other), (strike.site.name, fault, one, other)


@pytest.mark.parametrize("kind", FAST, ids=lambda kind: kind.name)
def test_order_and_company_do_not_change_a_fault(kind: type[Engine]) -> None:
    engine, _ = ready(kind, "residual")
    strike = strikes("residual", 30)[1]
    together, order = engine.inject(strike), torch.randperm(30, generator=torch.Generator().manual_seed(0))
    parts = (strike.rows_F, strike.elements_F, strike.choices_F)
    for chosen in (order, order[:1], order[:7]):
        found = engine.inject(FaultBatch(strike.site, *(part[chosen] for part in parts)))
        assert torch.equal(found.before_F, together.before_F[chosen])
        torch.testing.assert_close(found.logits_FC, together.logits_FC[chosen], rtol=1e-5, atol=1e-6, equal_nan=True)


def test_faults_that_die_out_are_finished_early() -> None:
    engine, golden_NC = ready(Delta, "toy")
    assert isinstance(engine, Delta)
    site = subject("toy")[1].sites[0]
    before_NF = engine.golden.maps(engine._calls[site.name].node).permute(0, 3, 1, 2).flatten(1)
    rows_F, elements_F = (before_NF < -0.1).nonzero(as_tuple=True)  # values stay negative, and ReLU maps them to 0
    struck = engine.inject(FaultBatch(site, rows_F, elements_F, torch.full_like(rows_F, 20)))
    assert (struck.after_F != struck.before_F).all()
    assert engine.finished == len(rows_F) > 20
    assert torch.equal(struck.logits_FC, golden_NC[rows_F])


def test_a_fault_at_the_last_site_moves_its_logit_alone() -> None:
    engine, golden_NC = ready(Delta, "toy")
    site = subject("toy")[1].sites[-1]
    struck = engine.inject(FaultBatch(site, torch.tensor([2]), torch.tensor([1]), torch.tensor([31])))
    expected_C = golden_NC[2].clone()
    expected_C[1] = -expected_C[1]
    torch.testing.assert_close(struck.logits_FC[0], expected_C)
    assert torch.equal(struck.logits_FC[0, [0, 2]], golden_NC[2, [0, 2]])


def test_doubtful_outcomes_are_told() -> None:
    golden_FC = torch.tensor([[10.0, 1.0, 0.0]]).expand(6, 3)
    change_FC = torch.zeros(6, 3)
    change_FC[1, 1] = 0.97e-4  # close to the bound of masked, which is 1e-4 here
    change_FC[2, 1] = 1e-3
    change_FC[3, 1] = 9.00001  # almost equal to the highest logit
    change_FC[4, 1] = torch.inf
    change_FC[5, 1] = 1e31
    faulty_FC = golden_FC + change_FC
    assert delta_module.doubtful(golden_FC, faulty_FC, 1e-6).tolist() == [False, True, False, True, True, True]
    assert delta_module.doubtful(golden_FC, faulty_FC, 2e-5).all()  # rounding affects every dLoss


class Amplifying(nn.Module):
    """Amplifies a difference so small that rounding changes its logits by more than the bound of masked."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.mix = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_var.fill_(1e-8)
        self.norm.eps = 0.0
        self.head = nn.Linear(4, 3)
        self.mix.bias.data.fill_(1e3)
        self.norm.running_mean.fill_(1e3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.mix(torch.relu(self.conv(x_BCHW))))).mean(dim=(2, 3)))


def test_where_rounding_is_amplified_every_fault_is_replayed() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Amplifying().eval()
    network = Network.capture(model, (1, 8, 8), batch_size=4)
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    full, delta = Full(model, network, NONE), Delta(model, network, NONE)
    full.prepare(images)
    delta.prepare(images)
    assert (delta.rounding.at(0, delta.golden_NC.abs().amax(dim=1)) > 1e-5).all()
    strike = FaultBatch(network.sites[0], *torch.tensor([[0, 1, 2, 3], [70, 80, 90, 100], [3, 9, 12, 22]]))
    assert torch.equal(delta.inject(strike).logits_FC, full.inject(strike).logits_FC)
    assert delta.doubted == 4


def test_auto_chooses_by_what_can_be_followed() -> None:
    def chosen(name: str) -> dict[str, str]:
        engine, _ = ready(Auto, name)
        assert isinstance(engine, Auto)
        return {site.name: engine.chosen(site).name for site in subject(name)[1].sites}

    assert set(chosen("residual").values()) == {"delta"}
    assert chosen("awkward")["bias.table"] == "delta"  # delta replays it, since all images share it
    half = toy_net().half()
    network = Network.capture(half, (1, 8, 8), batch_size=2)
    engine = Auto(half, network, NONE)
    engine.prepare(torch.rand(2, 1, 8, 8))
    assert {engine.chosen(site).name for site in network.sites} == {"replay"}
    struck = engine.inject(FaultBatch(network.sites[1], *torch.tensor([[0, 1], [5, 6], [15, 3]])))
    full = Full(half, network, NONE)
    full.prepare(torch.rand(2, 1, 8, 8))
    assert struck.logits_FC.dtype == torch.float16
    with pytest.raises(
        TgrError, match=r"the engine delta is for float32 networks, the model is torch\.float16; use --engine replay"
    ):
        Delta(half, network, NONE)


def test_memory_says_how_many_images_are_prepared_at_once() -> None:
    model, network, _ = subject("toy")
    # the image twice, and outputs of expensive operations
    floats = 8 * 8 + 8 * 8 + 4 * 8 * 8 + 4 * 4 * 4 + 6 * 4 * 4 + 6 * 2 * 2 + 3
    working = memory.CAPTURING + 4 * network.batch_size * 2 * (4 * 8 * 8)  # the largest map, before and after a ReLU
    engine = Replay(model, network, NONE, memory=10 * 4 * floats + working)
    assert engine.bytes_per_image == 4 * floats
    assert engine.working_bytes == working
    assert engine.images_at_once == 10
    assert Replay(model, network, NONE, memory=1).images_at_once == 1


def test_memory_is_written_as_a_number_and_a_unit() -> None:
    assert [memory.parsed(text) for text in ("2GiB", "1.5 MiB", "7B")] == [2**31, 3 * 2**19, 7]
    for text in ("2GB", "GiB", "0GiB", "-1GiB", "2"):
        with pytest.raises(TgrError, match=f'"{text}" is no amount of memory; write a number and one of B, KiB, '):
            memory.parsed(text)


@pytest.mark.parametrize("kind", FAST, ids=lambda kind: kind.name)
def test_the_model_is_left_as_it_was_also_after_an_exception_within(
    kind: type[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _, images = subject("residual")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    engine, golden_NC = ready(kind, "residual")
    strike = strikes("residual", 30)[0]
    expected = engine.inject(strike).logits_FC
    runs = 0

    def failing(*arguments: object, **options: object) -> None:
        nonlocal runs
        runs += 1
        raise RuntimeError("no memory left")

    with monkeypatch.context() as patched:
        patched.setattr("tgr_cli.faults.engines.golden_values.evaluate", failing)
        with pytest.raises(RuntimeError, match="no memory left"):
            engine.inject(strike)
    assert runs == 1
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    np.testing.assert_array_equal(engine.inject(strike).logits_FC, expected)
    with torch.inference_mode():
        assert torch.equal(model(images[:4]), golden_NC[:4])


class Between(nn.Module):
    """Applies a function between its features and logits."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.fc, self.function = nn.Conv2d(1, 4, 3), nn.Linear(4, 3), function

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.fc(self.function(self.conv(x_NCHW).mean((2, 3))))


JUMPS: dict[str, Callable[[Tensor], Tensor]] = {
    "torch.float16": lambda x: x.half().float(),
    "torch.bfloat16": lambda x: x.to(torch.bfloat16).float(),
    "torch.float8_e4m3fn": lambda x: x.to(torch.float8_e4m3fn).float(),
    "sign": torch.sign,
    "remainder": lambda x: x % 0.1,
}


@pytest.mark.parametrize("name", JUMPS)
def test_changes_are_not_followed_where_the_model_lets_values_jump(name: str) -> None:
    network = Network.capture(Between(JUMPS[name]).eval(), (1, 8, 8), batch_size=2)
    assert not Delta.takes(network)
    with pytest.raises(TgrError, match=rf"not exact where the model lets values jump \({name}\); use --engine auto or"):
        Delta.check(network)


def test_a_cast_to_a_finer_dtype_and_back_rounds_as_the_model_itself_does() -> None:
    assert Delta.takes(Network.capture(Between(lambda x: x.double().float()).eval(), (1, 8, 8), batch_size=2))
