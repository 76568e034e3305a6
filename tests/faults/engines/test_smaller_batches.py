"""Batches smaller than a whole one, and how much rounding is allowed for: what is measured before faults are run."""

import pytest
import torch
from toys import toy_net

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import FaultBatch, Full, Replay
from tgr_cli.faults.engines.rounding import Rounding
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit

NONE = Corruption(RangeLimit("none", {}))


@pytest.mark.parametrize("same", [True, False])
def test_fewer_faults_are_replayed_in_batches_that_give_the_same_bits(
    same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = toy_net()
    network = Network.capture(model, (1, 8, 8), batch_size=32)
    (site, *_), images = network.sites, torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    tried: list[int] = []
    monkeypatch.setattr(Replay, "_same_bits", lambda self, size: tried.append(size) or (same and size == 8))
    full, replay = Full(model, network, NONE), Replay(model, network, NONE)
    full.prepare(images)
    replay.prepare(images)
    sizes: list[int] = []
    rest = replay.rest
    monkeypatch.setattr(replay, "rest", lambda cut, rows_K, hit: sizes.append(len(rows_K)) or rest(cut, rows_K, hit))
    for count in (3, 11, 32):
        drawn = (torch.arange(count) % bound for bound in (6, site.neurons, 32))
        strike = FaultBatch(site, *drawn)
        assert torch.allclose(replay.inject(strike).logits_FC, full.inject(strike).logits_FC, rtol=1e-5, atol=1e-6)
    assert tried == ([4, 8] if same else [4, 8, 16])
    assert sizes == ([8, 8, 8, 32] if same else [32, 32, 32])


def test_the_same_bits_are_those_of_every_kept_value() -> None:
    model, images = toy_net(), torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    network = Network.capture(model, (1, 8, 8), batch_size=4)
    replay = Replay(model, network, NONE)
    replay.prepare(images)
    with torch.no_grad():
        logits_BC = model(images[:4])
        alike = [torch.equal(model(images[:size]), logits_BC[:size]) for size in (1, 2, 3)]
    assert all(same or not replay._same_bits(size) for size, same in zip((1, 2, 3), alike, strict=True))
    for value in set(replay.golden.kept) - {network.input, network.output}:
        before = replay.golden._values[value]
        replay.golden._values[value] = before * (1 + 2e-7)
        assert not replay._same_bits(4), value
        replay.golden._values[value] = before
    assert replay._same_bits(4)


def test_rounding_is_that_of_the_nearest_measured_sites() -> None:
    rounding = Rounding({2: 5e-6, 6: 1e-6, 9: 2e-6}, least=1e-7)
    assert [rounding.at(place) for place in (0, 2, 4, 6, 7, 9, 20)] == pytest.approx(
        [4 * size for size in (5e-6, 5e-6, 5e-6, 1e-6, 2e-6, 2e-6, 2e-6)]
    )
    assert Rounding({0: 0.0}, least=1e-7).at(3) == 1e-7
