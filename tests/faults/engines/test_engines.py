"""The engines against injections with hand-written hooks, and against one another."""

import logging
import random
import struct
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import ToyNet, toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import ENGINES, Engine, FaultBatch, FaultEffects, Full, PyTorchFI
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.sites import Site
from tgr_cli.models import zoo

from ..awkward import awkward

NONE = Corruption(RangeLimit("none", {}))
CLAMP = Corruption(RangeLimit("clamp", {"conv1": 0.9, "conv2": 0.4, "fc": 0.7}))
IMAGES = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@cache
def toy(batch_size: int = 4) -> tuple[ToyNet, Network]:
    model = toy_net()
    return model, Network.capture(model, (1, 8, 8), batch_size=batch_size)


@cache
def awkward_toy() -> tuple[nn.Module, Network]:
    model = awkward()
    return model, Network.capture(model, (1, 8, 8), batch_size=2)


def prepared(engine: type[Engine], corruption: Corruption = NONE, batch_size: int = 4) -> Engine:
    ready = engine(*toy(batch_size), corruption)
    ready.prepare(IMAGES)
    return ready


def faults(site: Site, count: int, seed: int = 2, images: int = len(IMAGES), bits: int = 32) -> FaultBatch:
    generator = torch.Generator().manual_seed(seed)
    bounds = (images, site.neurons, bits)
    return FaultBatch(site, *(torch.randint(0, bound, (count,), generator=generator) for bound in bounds))


def site_named(network: Network, name: str) -> Site:
    return next(site for site in network.sites if site.name == name)


def same_bits(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and torch.equal(left.view(torch.int32), right.view(torch.int32))


def assert_same(left: FaultEffects, right: FaultEffects) -> None:
    for name in ("before_F", "flipped_F", "after_F", "logits_FC"):
        assert same_bits(getattr(left, name), getattr(right, name)), name


def by_hand(model: nn.Module, strike: FaultBatch, number: int, x_BCHW: Tensor, row: int) -> tuple[float, float, Tensor]:
    """Return a fault's values before and after, and the logits, from a batch with no other fault."""
    element, bit, seen = int(strike.elements_F[number]), int(strike.choices_F[number]), []

    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        index = (row, *np.unravel_index(element, output.shape[1:]))
        before = output[index].item()
        (pattern,) = struct.unpack("<I", struct.pack("<f", before))
        (after,) = struct.unpack("<f", struct.pack("<I", pattern ^ (1 << bit)))
        seen.extend((before, after))
        struck = output.clone()
        struck[index] = after
        return struck

    handle = model.get_submodule(strike.site.name).register_forward_hook(hook)
    with torch.inference_mode():
        logits_BC = model(x_BCHW)
    handle.remove()
    return seen[0], seen[1], logits_BC[row]


@pytest.mark.parametrize("name", ["conv1", "conv2", "fc"])
def test_each_fault_is_the_one_a_hook_writes_alone(name: str) -> None:
    model, network = toy()
    strike = faults(site_named(network, name), 10)
    struck = prepared(Full).inject(strike)
    for number in range(10):
        start = number - number % 4
        rows = strike.rows_F[start : start + 4]
        rows = torch.cat([rows, rows[-1:].expand(4 - len(rows))])
        before, after, logits_C = by_hand(model, strike, number, IMAGES[rows], number - start)
        np.testing.assert_array_equal(struck.before_F[number].item(), before)
        np.testing.assert_array_equal(struck.flipped_F[number].item(), after)
        assert same_bits(struck.logits_FC[number], logits_C)
    assert same_bits(struck.flipped_F, struck.after_F)


ZERO = Corruption(RangeLimit("zero", CLAMP.limit.max_abs))


@pytest.mark.parametrize("corruption", [NONE, CLAMP, ZERO], ids=lambda corruption: corruption.limit.mode)
@pytest.mark.parametrize("name", ["conv1", "conv2", "fc"])
def test_pytorchfi_gives_the_same_bits_as_full(corruption: Corruption, name: str) -> None:
    strike = faults(site_named(toy()[1], name), 30)
    full, peer = prepared(Full, corruption), prepared(PyTorchFI, corruption)
    assert peer.unseen() == ()
    assert_same(full.inject(strike), peer.inject(strike))
    assert_same(full.inject(strike), peer.inject(strike))  # PyTorchFI's own models fail on a second run


def test_pytorchfi_gives_the_same_bits_as_full_on_a_library_network() -> None:
    model, x_BCHW = zoo.build("resnet20", 10).eval(), torch.rand(2, 3, 16, 16)
    network = Network.capture(model, (3, 16, 16), batch_size=2)
    engines = [kind(model, network, NONE) for kind in (Full, PyTorchFI)]
    golden = [engine.prepare(x_BCHW) for engine in engines]
    assert same_bits(*golden)
    assert [engine.unseen() for engine in engines] == [(), ()]
    for site in network.sites[::8]:
        assert_same(*(engine.inject(faults(site, 4, images=2)) for engine in engines))


def test_pytorchfi_says_what_it_cannot_strike() -> None:
    model, network = awkward_toy()
    engine = PyTorchFI(model, network, NONE)
    engine.prepare(IMAGES)
    assert [site.name for site in network.sites if site.name not in engine.unseen()] == ["patches"]
    site = site_named(network, "functional")
    with pytest.raises(TgrError, match=r'the engine pytorchfi cannot strike site "functional"; use --engine full'):
        engine.inject(faults(site, 1))
    half = toy_net().half()
    with pytest.raises(
        TgrError, match=r"pytorchfi flips bits of float32 only, the model is torch.float16; use --engine full"
    ):
        PyTorchFI(half, Network.capture(half, (1, 8, 8), batch_size=2), NONE)


@pytest.mark.parametrize("name", ["bias.table", "functional", "twice#2", "attention", "attention.out_proj", "up"])
def test_full_strikes_what_hooks_do_not_see(name: str) -> None:
    model, network = awkward_toy()
    engine = Full(model, network, NONE)
    golden_NC, site = engine.prepare(IMAGES), site_named(network, name)
    strike = FaultBatch(site, torch.tensor([0, 1, 2]), torch.tensor([1, 2, 3]), torch.tensor([31, 31, 31]))
    struck = engine.inject(strike)
    assert torch.equal(struck.flipped_F, -struck.before_F)
    assert (struck.logits_FC != golden_NC[:3]).any(dim=1).all()
    for number in range(3):  # the same alone as among others
        one = FaultBatch(
            site, *(part[number : number + 1] for part in (strike.rows_F, strike.elements_F, strike.choices_F))
        )
        alone = engine.inject(one)
        assert same_bits(alone.before_F, struck.before_F[number : number + 1])
        torch.testing.assert_close(alone.logits_FC[0], struck.logits_FC[number], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_full_flips_bits_of_the_models_own_format(dtype: torch.dtype) -> None:
    model = toy_net().to(dtype)
    network = Network.capture(model, (1, 8, 8), batch_size=4)
    engine = Full(model, network, CLAMP)
    assert engine.prepare(IMAGES).dtype == dtype
    struck = engine.inject(faults(network.sites[1], 9, bits=16))
    patterns = struck.before_F.view(torch.int16) ^ struck.flipped_F.view(torch.int16)
    assert torch.equal(patterns, (1 << faults(network.sites[1], 9, bits=16).choices_F).to(torch.int16))
    assert struck.after_F.abs().max() <= torch.tensor(0.4, dtype=dtype)
    with pytest.raises(TgrError, match=r'bit 16 does not exist at site "conv2"; they are 0 to 15'):
        engine.inject(FaultBatch(network.sites[1], *torch.tensor([[0], [0], [16]])))


def test_neither_order_nor_batch_size_changes_a_fault() -> None:
    strike = faults(site_named(toy()[1], "conv2"), 11)
    expected, order = prepared(Full).inject(strike), torch.randperm(11)
    shuffled = FaultBatch(strike.site, strike.rows_F[order], strike.elements_F[order], strike.choices_F[order])
    for batch_size in (1, 3, 4):
        found = prepared(Full, batch_size=batch_size).inject(shuffled)
        torch.testing.assert_close(found.before_F, expected.before_F[order])
        finite = expected.logits_FC[order].isfinite().all(dim=1)
        assert torch.equal(found.logits_FC.isfinite().all(dim=1), finite)
        torch.testing.assert_close(found.logits_FC[finite], expected.logits_FC[order][finite], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("broken", [False, True])
def test_everything_is_left_as_it_was_also_after_an_exception(engine: type[Engine], broken: bool) -> None:
    model, network = toy()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    root = logging.getLogger()
    logger = (root.handlers[:], root.level)
    draws = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    running = engine(model, network, Corruption(RangeLimit("clamp", {})) if broken else NONE)
    golden_NC = running.prepare(IMAGES)
    strike = faults(network.sites[0], 6)
    if broken:  # a clamp that lacks the site's bound
        with pytest.raises(KeyError, match="conv1"):
            running.inject(strike)
    else:
        running.inject(strike)
    assert all(same_bits(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not model.training
    assert same_bits(running.prepare(IMAGES), golden_NC)
    assert (root.handlers, root.level) == logger
    assert torch.equal(torch.get_rng_state(), draws[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == draws[1:]  # noqa: NPY002


def test_golden_logits_are_those_of_batches_of_one_shape() -> None:
    model, _ = toy()
    with torch.inference_mode():
        expected = torch.cat([model(IMAGES[:4]), model(IMAGES[[4, 5, 6, 6]])[:3]])
    assert same_bits(prepared(Full).prepare(IMAGES), expected)


def test_an_element_that_does_not_exist_is_refused() -> None:
    site = toy()[1].sites[0]
    with pytest.raises(TgrError, match=r'element 256 does not exist at site "conv1"; they are 0 to 255'):
        prepared(Full).inject(FaultBatch(site, *torch.tensor([[0], [256], [0]])))
