"""An image's share of a value is independent of the batch, also for values that depend on no image."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto, Engine, FaultBatch, Full
from tgr_cli.faults.export import ExportError
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.sites import Site
from tgr_cli.metrics.outcomes import Judged, agree, judge

from .tokened import (
    TOKENED,
    Expanded,
    ImagesInside,
    Joined,
    Patches,
    Recurrent,
    Shared,
    Spikes,
    StatesFirst,
    TokensFirst,
    Windows,
    tokened,
)

NONE = Corruption(RangeLimit("none", {}))
IMAGES = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
FAULTS = 24


@cache
def captured(kind: type[Patches], batch_size: int) -> tuple[nn.Module, Network]:
    model = tokened(kind)
    return model, Network.capture(model, (1, 8, 8), batch_size=batch_size)


def outcomes(engine: Engine, seed: int = 2) -> list[Judged]:
    """Return the results of the same random faults at every site."""
    golden_NC, generator = engine.prepare(IMAGES), torch.Generator().manual_seed(seed)
    judged = []
    for site in engine.network.sites:
        bounds = (len(IMAGES), site.neurons, 32)
        row_F, element_F, choice_F = (torch.randint(0, bound, (FAULTS,), generator=generator) for bound in bounds)
        logits_FC = engine.inject(FaultBatch(site, row_F, element_F, choice_F)).logits_FC
        judged.append(judge(golden_NC[row_F], logits_FC, golden_NC[row_F].argmax(dim=1)))
    return judged


LAYERS = {
    Expanded: Site("layer", "linear", (1, 6), 36),
    Joined: Site("layer", "linear", (6,), 36),
    TokensFirst: Site("own", "linear", (2, 18), 2 * 108),
    Windows: Site("layer", "linear", (2, 1, 6), 2 * 36),
    ImagesInside: Site("layer", "linear", (2, 6), 2 * 36),
    Spikes: Site("layer", "linear", (4, 6), 4 * 36),
    Shared: Site("layer", "linear", (1, 1, 6), 36, per_image=False),
    Recurrent: Site("layer", "linear", (6,), 36),
    StatesFirst: Site("layer", "linear", (3, 6), 3 * 36),
}


@pytest.mark.parametrize("kind", TOKENED)
def test_each_image_has_its_own_row_or_all_share_one(kind: type[Patches]) -> None:
    assert LAYERS[kind] in captured(kind, 2)[1].sites


@pytest.mark.parametrize(
    ("kind", "batch_size"), [(Expanded, 1), (Expanded, 3), (TokensFirst, 1), (ImagesInside, 3), (Recurrent, 1)]
)
def test_faults_come_out_the_same_however_many_images_run_together(kind: type[Patches], batch_size: int) -> None:
    expected = outcomes(Full(*captured(kind, 2), NONE))
    model, network = captured(kind, batch_size)
    assert network.sites == captured(kind, 2)[1].sites
    assert sum({str(one) for one in judged.outcome} >= {"benign"} for judged in expected) > 1
    for engine in (Full(model, network, NONE), Auto(model, network, NONE)):
        for site, one, other in zip(network.sites, outcomes(engine), expected, strict=True):
            for fault in range(FAULTS):
                found, right = ((str(j.outcome[fault]), float(j.dloss[fault])) for j in (one, other))
                assert agree(*found, *right), (engine.name, site.name, fault, found, right)


@pytest.mark.parametrize("kind", [Expanded, TokensFirst, Windows, ImagesInside, Spikes, StatesFirst])
def test_a_strike_on_one_images_token_moves_its_logits_and_no_others(kind: type[Patches]) -> None:
    _, network = captured(kind, 2)

    def hit(share_BN: Tensor) -> Tensor:
        struck_BN = share_BN.clone()
        struck_BN[1] += 3.0
        return struck_BN

    golden_BC = network.forward(IMAGES[:2])
    faulty_BC = network.forward(IMAGES[:2], strike={LAYERS[kind].name: hit})
    assert (golden_BC != faulty_BC).any(dim=1).tolist() == [False, True]


def test_a_second_capture_is_made_only_where_the_first_leaves_a_value_open(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    original = torch.export.export

    def counted(model: nn.Module, example: tuple[Tensor], *rest: object) -> object:
        sizes.append(len(example[0]))
        return original(model, example, *rest)

    monkeypatch.setattr(torch.export, "export", counted)
    Network.capture(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval(), (1, 8, 8), batch_size=3)
    assert sizes == [3]
    Network.capture(tokened(Expanded), (1, 8, 8), batch_size=3)
    assert sizes == [3, 3, 4]


class Mixing(nn.Module):
    """Scales its logits by a statistic of the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits_BC = self.head(x_BCHW.flatten(1))
        return logits_BC / logits_BC.std()


class Doubled(nn.Module):
    """Its second half computes in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 5), nn.Linear(5, 3).double()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.second(self.first(x_BCHW.flatten(1)).double()).float()


class OneByOne(nn.Module):
    """Runs different operations for different batch sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.token = nn.Linear(64, 3), nn.Parameter(torch.randn(1, 64))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        rows = [self.head(row_E) for row_E in self.token.expand(len(x_BCHW), -1)]
        return self.head(x_BCHW.flatten(1)) + torch.stack(rows)


class Looping(nn.Module):
    """Runs a layer on a learned token once per image."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.token = nn.Linear(64, 3), nn.Parameter(torch.randn(1, 64))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.cat([self.head(self.token) + x_1CHW.flatten()[:3] for x_1CHW in x_BCHW])


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        (Mixing, TgrError, r"depend on the other images of its batch \(the first to mix them is std\), so faults"),
        (
            Doubled,
            TgrError,
            r'the output of site "second" is torch.float64 and the model torch.float32, and faults are ',
        ),
        (Looping, ExportError, r"the operations of the model change with the number of images in a batch"),
        (OneByOne, ExportError, r"the operations of the model change with the number of images in a batch"),
    ],
)
def test_what_has_no_share_for_each_image_is_refused(model: type, kind: type[TgrError], words: str) -> None:
    with pytest.raises(kind, match=words):
        Network.capture(model().eval(), (1, 8, 8), batch_size=2)


def test_a_batch_of_half_precision_tokens_is_divided_too() -> None:
    network = Network.capture(tokened(Expanded).bfloat16(), (1, 8, 8), batch_size=2)
    assert LAYERS[Expanded] in network.sites
    assert np.isfinite(network.forward(IMAGES[:2]).float().numpy()).all()
