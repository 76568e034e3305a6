"""Faults propagated as changed tokens, against the reference, and where propagation ends."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Delta, FaultBatch, Full
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.metrics.outcomes import agree, judge

from ..windowed import WINDOWED, windowed

NONE = Corruption(RangeLimit("none", {}))


@cache
def subject(name: str) -> tuple[nn.Module, Network, Tensor]:
    model, side = windowed(name), 64 if name == "maxvit" else 32
    images = torch.randn(5, 3, side, side, generator=torch.Generator().manual_seed(1))
    return model, Network.capture(model, (3, side, side), batch_size=4), images


@cache
def ready(name: str) -> tuple[Delta, Tensor]:
    model, network, images = subject(name)
    engine = Delta(model, network, NONE)
    return engine, engine.prepare(images)


@pytest.mark.parametrize("name", WINDOWED)
def test_every_fault_comes_out_as_the_oracle_has_it(name: str) -> None:
    model, network, images = subject(name)
    full, (delta, golden_NC) = Full(model, network, NONE), ready(name)
    assert torch.equal(full.prepare(images), golden_NC)
    generator = torch.Generator().manual_seed(2)
    for site in network.sites:
        if not site.per_image:
            continue
        strike = FaultBatch(
            site, *(torch.randint(0, bound, (12,), generator=generator) for bound in (5, site.neurons, 32))
        )
        found, right = delta.inject(strike), full.inject(strike)
        torch.testing.assert_close(found.after_F, right.after_F, equal_nan=True)
        labels_F = golden_NC[strike.rows_F].argmax(dim=1)
        ours, theirs = (judge(golden_NC[strike.rows_F], each.logits_FC, labels_F) for each in (found, right))
        for fault in range(12):
            pairs = [(str(each.outcome[fault]), float(each.dloss[fault])) for each in (ours, theirs)]
            assert agree(*pairs[0], *pairs[1]), (site.name, fault, pairs)


class Readers(nn.Module):
    """Tokens of 2×2 pixels, each through two layers; the logits join what some readers make of a token each."""

    def __init__(self, readers: dict[int, nn.Module], join: Callable[..., Tensor]) -> None:
        super().__init__()
        self.patch, self.body, self.last = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm, self.tokens, self.join = nn.LayerNorm(8), list(readers), join
        self.readers = nn.ModuleList(readers.values())

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BTC = self.patch(x_BCHW).flatten(2).transpose(1, 2)
        x_BTC = self.norm(x_BTC + self.last(torch.relu(self.body(x_BTC))))
        return self.join(*(read(x_BTC[:, token]) for token, read in zip(self.tokens, self.readers, strict=True)))


@pytest.mark.parametrize(
    ("tokens", "join"),
    [
        ((0, 1), lambda a, b: (a + b) / 2),  # a class token and a distillation token
        ((2, 0), torch.mul),
        ((0, 1, 3), lambda a, b, c: a + b * c),
    ],
)
@pytest.mark.parametrize("name", ["body", "last"])
def test_faults_that_reach_one_of_several_readers(tokens: tuple[int, ...], join: Callable, name: str) -> None:
    torch.manual_seed(0)
    model = Readers({token: nn.Linear(8, 3) for token in tokens}, join).eval()
    images = torch.randn(2, 3, 4, 4)
    network = Network.capture(model, (3, 4, 4), batch_size=2)
    delta, full = Delta(model, network, NONE), Full(model, network, NONE)
    golden_NC = delta.prepare(images)
    full.prepare(images)
    site = next(site for site in network.sites if site.name == name)
    assert delta.follows_rows(site)
    for token in range(4):  # all faults of a call strike one token, so the other readers see no change at all
        channel_F = torch.arange(8)
        strike = FaultBatch(site, channel_F % 2, token * 8 + channel_F, torch.full((8,), 30))
        found, right = delta.inject(strike), full.inject(strike)
        torch.testing.assert_close(found.logits_FC, right.logits_FC, equal_nan=True)
        if token not in tokens:
            assert torch.equal(found.logits_FC, golden_NC[strike.rows_F])


@pytest.mark.parametrize(("name", "groups"), [("swin", 4), ("swin_v2", 4)])
def test_attention_is_run_for_the_windows_that_have_moved(name: str, groups: int) -> None:
    engine, _ = ready(name)
    site = next(site for site in engine.network.sites if site.name == "features.1.0.attn.qkv")
    node, faults = engine._calls[site.name].node, torch.arange(3)
    path = engine._path(node)
    elements = torch.tensor([5, 700, 1400])  # tokens 0, 29 and 58 of 64: the first, second and fourth of 4 windows
    before_K = engine.golden.elements(engine._calls[site.name], faults, elements)
    region = engine.followed_rows._region(node, path)
    assert region is not None
    assert region.groups == groups
    changes = engine.followed_rows.follow(
        node, path[: len(region.inner)], faults, elements[:, None], before_K[:, None] + 1.0
    )
    (rows,) = changes.values()
    assert rows.base is region.exit
    windows = [sorted({int(r) // 16 for r in rows.row_M[rows.fault_M == fault]}) for fault in range(3)]
    assert windows == [[0], [1], [3]]


def test_global_attention_is_no_region() -> None:
    engine, _ = ready("vit")
    node = engine._calls["blocks.0.attn.qkv"].node
    assert engine.followed_rows._region(node, engine._path(node)) is None


def test_tokens_that_the_logits_do_not_depend_on_are_finished() -> None:
    engine, golden_NC = ready("vit")
    site = next(site for site in engine.network.sites if site.name == "blocks.1.mlp.fc2")
    done = engine.finished
    # the class token, and another token
    strike = FaultBatch(site, torch.tensor([0, 1]), torch.tensor([0, 16]), torch.tensor([30, 30]))
    struck = engine.inject(strike)
    assert engine.finished == done + 1
    assert torch.equal(struck.logits_FC[1], golden_NC[1])
    assert not torch.equal(struck.logits_FC[0], golden_NC[0])


class Mixer(nn.Module):
    """Tokens that are mixed with each other in every block, and pass an MLP each."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.mix = nn.ModuleList(nn.Linear(16, 16) for _ in range(blocks))
        self.mlp = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8)) for _ in range(blocks))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(2).transpose(1, 2))
        for mix, mlp in zip(self.mix, self.mlp, strict=True):
            x = x + mix(x.transpose(1, 2)).transpose(1, 2)
            x = x + mlp(x)
        return self.head(x.mean(1))


def test_tokens_that_are_mixed_at_once_are_followed_where_little_is_left_after_that() -> None:
    model = Mixer(6).eval()
    network = Network.capture(model, (3, 4, 4), batch_size=2)
    delta = Delta(model, network, NONE)
    delta.prepare(torch.randn(2, 3, 4, 4))
    followed = [site.name for site in network.sites if delta.follows_rows(site)]
    assert followed == ["mlp.5.0"]
