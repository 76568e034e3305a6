"""Batches smaller than a whole one, and how much rounding is allowed for: what is measured before faults are run."""

import pytest
import torch
from torch import Tensor, nn
from toys import toy_net

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Delta, FaultBatch, Full, Replay
from tgr_cli.faults.engines import delta as delta_module
from tgr_cli.faults.engines.rounding import Effect, Rounding
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.sites import Site

NONE = Corruption(RangeLimit("none", {}))
BATCH = 32


def toy(images: int = 6) -> tuple[Replay, Full]:
    """Return two engines, prepared with images, of the toy captured for batches of 32."""
    model = toy_net()
    network = Network.capture(model, (1, 8, 8), batch_size=BATCH)
    x_NCHW = torch.randn(images, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    replay, full = Replay(model, network, NONE), Full(model, network, NONE)
    replay.prepare(x_NCHW)
    full.prepare(x_NCHW)
    return replay, full


def drawn(site: Site, count: int, images: int) -> FaultBatch:
    return FaultBatch(site, *(torch.arange(count) % bound for bound in (images, site.neurons, 32)))


def sizes_run(replay: Replay, strike: FaultBatch) -> list[int]:
    """Return the sizes of the batches in which an engine runs what follows a site."""
    sizes: list[int] = []
    run = replay.golden.run

    def watched(part, rows_K, sources=None):  # type: ignore[no-untyped-def]
        if sources is not None:
            sizes.append(len(rows_K))
        return run(part, rows_K, sources)

    replay.golden.run = watched  # type: ignore[method-assign]
    replay.inject(strike)
    replay.golden.run = run  # type: ignore[method-assign]
    return sizes


@pytest.mark.parametrize("same", [True, False])
def test_fewer_faults_are_replayed_in_batches_that_give_the_same_bits(
    same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bool] = []
    monkeypatch.setattr(Replay, "_few_have_same_bits", lambda self: tried.append(same) or same)
    replay, full = toy()
    site = replay.network.sites[0]
    for count, sizes in ((3, [4]), (11, [4, 4, 4]), (32, [32]), (33, [32, 4])):
        strike = drawn(site, count, 6)
        assert sizes_run(replay, strike) == (sizes if same else [BATCH] * -(-count // BATCH))
        assert torch.allclose(replay.inject(strike).logits_FC, full.inject(strike).logits_FC, rtol=1e-5, atol=1e-6)
    assert len(tried) == 1


def test_the_same_bits_are_those_of_every_golden_value() -> None:
    replay, _ = toy()
    if not replay._few_have_same_bits():
        pytest.skip("this processor's kernels give other bits in batches of 4")
    for value in set(replay.golden.kept) - {replay.network.input, replay.network.output}:
        before = replay.golden._values[value]
        replay.golden._values[value] = before * (1 + 2e-7)
        assert not replay._few_have_same_bits(), value
        replay.golden._values[value] = before
    replay.golden_NC = replay.golden_NC * (1 + 2e-7)
    assert not replay._few_have_same_bits()


@pytest.mark.parametrize(
    "x_NCHW", [torch.rand(3, 1, 8, 8), torch.zeros(6, 1, 8, 8), torch.rand(1, 1, 8, 8).repeat(6, 1, 1, 1)]
)
def test_images_that_could_hide_other_kernels_leave_whole_batches(x_NCHW: Tensor) -> None:
    replay, _ = toy()
    replay.prepare(x_NCHW)
    assert sizes_run(replay, drawn(replay.network.sites[0], 3, 3)) == [BATCH]
    assert not replay._same_bits
    replay.prepare(torch.rand(6, 1, 8, 8))
    replay.inject(drawn(replay.network.sites[0], 3, 6))
    assert len(replay._same_bits) == 1


class TokensFirst(nn.Module):
    """Has the tokens before the batch in the middle, as attention without `batch_first`."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.inside, self.head = (nn.Linear(16, 16) for _ in range(3))

    def forward(self, x_BTN: Tensor) -> Tensor:
        x_BTN = self.before(x_BTN)
        return self.head((x_BTN + self.inside(x_BTN.transpose(0, 1)).relu().transpose(0, 1)).mean(1))


def test_sites_that_run_in_whole_batches_alone_are_not_divided() -> None:
    model = TokensFirst().eval()
    network = Network.capture(model, (12, 16), batch_size=BATCH)
    replay, full = Replay(model, network, NONE), Full(model, network, NONE)
    x_BTN = torch.randn(8, 12, 16, generator=torch.Generator().manual_seed(1))
    replay.prepare(x_BTN)
    full.prepare(x_BTN)
    for site in network.sites:
        strike = drawn(site, 11, 8)
        sizes = sizes_run(replay, strike)
        assert sizes == ([BATCH] if site.name == "inside" else sizes[:1] * len(sizes))
        assert torch.allclose(
            replay.inject(strike).logits_FC.nan_to_num(), full.inject(strike).logits_FC.nan_to_num(), rtol=1e-5
        )


def test_rounding_is_that_of_the_nearest_measured_sites() -> None:
    rounding = Rounding({2: Effect(5e-6, 5e-5), 6: Effect(1e-6, 1e-5), 9: Effect(3e-6, 2e-5)}, least=1e-7)
    usual, small = torch.tensor([20.0, 1.0])[:, None]
    assert [float(rounding.at(place, usual)) for place in (0, 2, 4, 6, 7, 9, 20)] == pytest.approx(
        [2e-5, 2e-5, 2e-5, 1e-5, 1.2e-5, 1.2e-5, 1.2e-5]  # no smaller than twice the largest
    )
    assert [float(rounding.at(place, small)) for place in (2, 6, 9)] == pytest.approx([1e-4, 1e-4, 1e-4])
    for nothing in ({0: Effect(0.0, 0.0)}, {}):
        assert Rounding(nothing, least=1e-7).at(3, usual) == pytest.approx(1e-7)


class ReZero(nn.Module):
    """Convolutions with branches beside them that have no effect yet, so that their faults tell nothing of rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.main = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1) for _ in range(6))
        self.side = nn.ModuleList(nn.Conv2d(32, 32, 1) for _ in range(6))
        self.gain = nn.Parameter(torch.zeros(6))
        self.head = nn.Linear(32, 10)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.stem(x_BCHW).relu()
        for place, (main, side) in enumerate(zip(self.main, self.side, strict=True)):
            x_BCHW = main(x_BCHW).relu()
            x_BCHW = x_BCHW + self.gain[place] * side(x_BCHW)
        return self.head(x_BCHW.mean(dim=(2, 3)))


def test_sites_without_an_effect_do_not_lower_the_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ReZero().eval()
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
    network = Network.capture(model, (3, 16, 16), batch_size=8)
    delta, full = Delta(model, network, NONE), Full(model, network, NONE)
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(8, 3, 16, 16, generator=generator)
    golden_NC = full.prepare(images)
    delta.prepare(images)
    assert 0 < len(delta.rounding.moved) < len(network.sites) // 2
    assert all(effect.relative > 0 for effect in delta.rounding.moved.values())
    monkeypatch.setattr(delta_module, "doubtful", lambda golden_FC, *_: torch.zeros(len(golden_FC), dtype=torch.bool))
    for place, site in enumerate(network.sites):
        bounds = ((0, 8), (0, site.neurons), (23, 30))
        strike = FaultBatch(site, *(torch.randint(*bound, (64,), generator=generator) for bound in bounds))
        right_FC, found_FC = (engine.inject(strike).logits_FC for engine in (full, delta))
        size_F = torch.maximum(right_FC.abs().amax(dim=1), golden_NC[strike.rows_F].abs().amax(dim=1))
        moved_F = ((found_FC - right_FC).abs().amax(dim=1) / size_F).nan_to_num(0.0)
        assert (moved_F <= delta.rounding.at(place, golden_NC[strike.rows_F].abs().amax(dim=1))).all(), site.name
