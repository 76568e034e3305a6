"""Faults in weights, biases and buffers, in every engine, against a modified copy of the model."""

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults import graph
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import ENGINES, Auto, Delta, Engine, FaultBatch, FaultEffects, Full, PyTorchFI, Replay
from tgr_cli.faults.engines.engine import same_faults
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.sites import Site

from ..awkward import awkward
from ..test_tensor_sites import Tied
from ..varied import SHAPE_CHW, VARIED, varied
from ..windowed import windowed

NONE = Corruption(RangeLimit("none", {}))
STRIKING = (Full, Replay, Delta, Auto)
IMAGES = 6


@cache
def subject(name: str) -> tuple[nn.Module, Network, Tensor]:
    """Return a model, its network captured for 4 images, and 6 images."""
    shape = {"swin": (3, 32, 32), "vit": (3, 32, 32)}.get(name, SHAPE_CHW if name in VARIED else (1, 8, 8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = varied(name) if name in VARIED else BUILT[name]().eval()
    images = torch.randn(IMAGES, *shape, generator=torch.Generator().manual_seed(1))
    return model, Network.capture(model, shape, batch_size=4), images


def vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(
        image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=5
    )


BUILT = {"toy": toy_net, "awkward": awkward, "tied": Tied, "swin": lambda: windowed("swin_v2"), "vit": vit}


def ready(kind: type[Engine], name: str, corruption: Corruption = NONE) -> tuple[Engine, Tensor]:
    model, network, images = subject(name)
    engine = kind(model, network, corruption)
    return engine, engine.prepare(images)


def strike_of(site: Site, faults: int, seed: int = 0, bits: int = 32) -> FaultBatch:
    """Return faults at a site, each on three images."""
    generator = torch.Generator().manual_seed(seed + len(site.name))
    element_F, choice_F = (torch.randint(0, n, (faults,), generator=generator) for n in (site.neurons, bits))
    rows_F = torch.randint(0, IMAGES, (3 * faults,), generator=generator)
    return FaultBatch(site, rows_F, element_F.repeat_interleave(3), choice_F.repeat_interleave(3))


def by_hand(name: str, strike: FaultBatch, fault: int) -> tuple[float, float, Tensor]:
    """Return the value before and after, and the logits of the images, from a modified copy of the model."""
    model, _, images = subject(name)
    broken = copy.deepcopy(model)
    tensors = {**dict(broken.named_parameters()), **dict(broken.named_buffers())}
    flat_N = tensors[strike.site.name].detach().numpy().reshape(-1)
    element, bit = int(strike.elements_F[fault]), int(strike.choices_F[fault])
    before = float(flat_N[element])
    flat_N.view(np.uint32)[element] ^= np.uint32(1 << bit)
    with torch.inference_mode():
        return before, float(flat_N[element]), broken(images[strike.rows_F[fault : fault + 3]])


@pytest.mark.parametrize("name", [*BUILT, "residual", "gated", "text_guided"])
def test_every_engine_gives_the_logits_of_a_model_that_is_broken_so(name: str) -> None:
    engines = [ready(kind, name)[0] for kind in STRIKING]
    sites = subject(name)[1].parameter_sites
    for site in sites[:: 1 + len(sites) // 15]:
        strike = strike_of(site, 2)
        struck = [engine.inject(strike) for engine in engines]
        for fault in (0, 3):
            before, after, logits_BC = by_hand(name, strike, fault)
            finite = logits_BC.isfinite().all()
            for engine, found in zip(engines, struck, strict=True):
                where = (engine.name, site.name, fault)
                np.testing.assert_array_equal(found.before_F[fault : fault + 3], [before] * 3)
                np.testing.assert_array_equal(found.after_F[fault : fault + 3], [after] * 3)
                own_BC = found.logits_FC[fault : fault + 3]
                assert own_BC.isfinite().all() == finite, where
                if finite:
                    size = max(1.0, float(logits_BC.abs().max()))
                    assert float((own_BC - logits_BC).abs().max()) <= 2e-5 * size, where


@pytest.mark.parametrize("name", ["swin", "tied", "toy"])
def test_replay_runs_no_more_images_than_a_fault_is_tried_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = ready(Auto, name)
    network, images = subject(name)[1], []

    def counting(program: Any, values: Any, *arguments: Any, **options: Any) -> Any:
        values = graph.evaluate(program, values, *arguments, **options)
        images.extend([len(values[network.output])] if network.output in values else [])
        return values

    monkeypatch.setattr("tgr_cli.faults.engines.golden_values.evaluate", counting)
    sites = [*network.parameter_sites[::7], *(site for site in network.sites if not site.per_image)]
    for site in sites:
        engine.inject(FaultBatch(site, *torch.tensor([[4], [0], [31]])))
    assert images == [1] * len(sites)


def test_rows_of_one_fault_share_a_pass_and_others_do_not() -> None:
    site = subject("toy")[1].sites_of("weight")[0]
    parts = torch.tensor([[0, 1, 2, 3, 4, 5, 0], [7, 7, 7, 7, 7, 8, 8], [3, 3, 3, 3, 3, 3, 4]])
    lots = same_faults(FaultBatch(site, *parts), 4)
    assert [lot.tolist() for lot in lots] == [[0, 1, 2, 3], [4], [5], [6]]


def test_company_does_not_change_a_fault() -> None:
    for kind in STRIKING:
        engine, _ = ready(kind, "residual")
        strike = strike_of(subject("residual")[1].sites_of("weight")[1], 4)
        together = engine.inject(strike)
        for row in (0, 5, 11):
            parts = (part[row : row + 1] for part in (strike.rows_F, strike.elements_F, strike.choices_F))
            alone = engine.inject(FaultBatch(strike.site, *parts))
            torch.testing.assert_close(alone.logits_FC[0], together.logits_FC[row], rtol=1e-5, atol=1e-6)


def test_a_tensor_is_held_to_its_own_range() -> None:
    _, network, _ = subject("toy")
    sites = network.sites_of("weight")
    limit = RangeLimit.of_tensors("clamp", {site.name: network.parameters[site.name] for site in sites})
    assert limit.max_abs == {
        name: float(value.abs().max()) for name, value in network.parameters.items() if value.ndim > 1
    }
    for kind in STRIKING:
        engine, golden_NC = ready(kind, "toy", Corruption(limit))
        for site in sites:
            largest = int(network.parameters[site.name].abs().argmax())
            struck = engine.inject(FaultBatch(site, *torch.tensor([[0, 1, 2, 3], [largest] * 4, [30] * 4])))
            assert (struck.flipped_F.abs() > limit.max_abs[site.name]).all()
            assert torch.equal(struck.after_F.abs(), struck.before_F.abs())
            same = struck.after_F == struck.before_F
            torch.testing.assert_close(struck.logits_FC[same], golden_NC[:4][same], rtol=1e-5, atol=1e-6)
    with pytest.raises(TgrError, match=r'the tensor "conv1.bias" holds values that are not finite; check the weights'):
        RangeLimit.of_tensors("zero", {"conv1.bias": torch.tensor([1.0, torch.nan])})
    assert RangeLimit.of_tensors("none", {"conv1.bias": torch.tensor([torch.nan])}) == NONE.limit


@pytest.mark.parametrize("kind", STRIKING, ids=lambda kind: kind.name)
@pytest.mark.parametrize("broken", [False, True])
def test_the_model_is_left_bitwise_as_it_was(kind: type[Engine], broken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, network, images = subject("residual")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    engine, golden_NC = ready(kind, "residual")
    runs = 0

    def failing(*arguments: object, **options: object) -> None:
        nonlocal runs
        runs += 1
        raise RuntimeError("no memory left")

    for target in ("weight", "bias", "buffer"):
        strike = strike_of(network.sites_of(target)[2], 2)
        if broken:
            with monkeypatch.context() as patched:
                patched.setattr("tgr_cli.faults.graph.evaluate", failing)
                patched.setattr("tgr_cli.faults.engines.golden_values.evaluate", failing)
                with pytest.raises(RuntimeError, match="no memory left"):
                    engine.inject(strike)
        else:
            engine.inject(strike)
    assert runs == 3 * broken
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(engine.prepare(images), golden_NC)


def test_pytorchfi_refuses_and_leaves_the_model_as_it_was() -> None:
    model, network, images = subject("toy")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    engine, golden_NC = ready(PyTorchFI, "toy")
    with pytest.raises(TgrError, match=r"the engine pytorchfi strikes neurons only; use --engine auto, replay or full"):
        engine.inject(strike_of(network.sites_of("weight")[0], 1))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(engine.prepare(images), golden_NC)
    assert set(STRIKING) == set(ENGINES.values()) - {PyTorchFI}


def test_an_element_or_bit_that_does_not_exist_is_refused() -> None:
    engine, _ = ready(Auto, "toy")
    site = subject("toy")[1].sites_of("bias")[0]
    with pytest.raises(TgrError, match=r'element 4 does not exist at site "conv1.bias"; they are 0 to 3'):
        engine.inject(FaultBatch(site, *torch.tensor([[0], [4], [0]])))
    with pytest.raises(TgrError, match=r'bit 32 does not exist at site "conv1.bias"; they are 0 to 31'):
        engine.inject(FaultBatch(site, *torch.tensor([[0], [0], [32]])))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", [Replay, Auto], ids=lambda kind: kind.name)
def test_half_precision_is_struck_in_its_16_bits(kind: type[Engine], dtype: torch.dtype) -> None:
    model = toy_net().to(dtype)
    network, images = Network.capture(model, (1, 8, 8), batch_size=4), subject("toy")[2]
    limit = RangeLimit("clamp", {site.name: 0.5 for site in (*network.sites, *network.parameter_sites)})
    engines = [each(model, network, Corruption(limit)) for each in (Full, kind)]
    golden = [engine.prepare(images) for engine in engines]
    assert torch.equal(*golden)
    for site in (*network.sites, *network.parameter_sites):
        full, found = (engine.inject(strike_of(site, 5, bits=16)) for engine in engines)
        assert found.logits_FC.dtype == found.before_F.dtype == dtype
        assert_same_bits(full, found)
        patterns = found.before_F.view(torch.int16) ^ found.flipped_F.view(torch.int16)
        assert torch.equal(patterns, (1 << strike_of(site, 5, bits=16).choices_F).to(torch.int16))


def assert_same_bits(left: FaultEffects, right: FaultEffects) -> None:
    for name in ("before_F", "flipped_F", "after_F"):
        assert torch.equal(getattr(left, name).view(torch.int16), getattr(right, name).view(torch.int16)), name
    torch.testing.assert_close(right.logits_FC, left.logits_FC, equal_nan=True)


def test_a_weight_in_channels_last_is_struck_at_its_own_index() -> None:
    model = toy_net().to(memory_format=torch.channels_last)
    network = Network.capture(model, (1, 8, 8), batch_size=2)
    site = network.sites_of("weight")[1]
    assert not network.parameters[site.name].is_contiguous()
    element = int(np.ravel_multi_index((3, 1, 0, 1), site.shape))
    for kind in (Full, Replay):
        engine = kind(model, network, NONE)
        engine.prepare(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
        struck = engine.inject(FaultBatch(site, *torch.tensor([[1], [element], [31]])))
        assert struck.before_F[0] == model.get_parameter(site.name)[3, 1, 0, 1]
        assert struck.after_F[0] == -struck.before_F[0]
