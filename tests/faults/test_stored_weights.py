"""Weights that a quantised model stores as integers: which they are, and what a flip makes of them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quantised import Int8Net
from torch import nn

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import ENGINES
from tgr_cli.faults.engines.engine import FaultBatch
from tgr_cli.faults.formats.stored import stored_format
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.models.from_user import _with_modes


def captured(model: torch.nn.Module) -> Network:
    return Network.capture(model.eval(), (1, 8, 8), batch_size=4)


def test_integers_that_layers_read_are_weights_and_their_scales_are_buffers() -> None:
    network = captured(Int8Net())
    assert [(site.name, site.macs) for site in network.sites_of("weight")] == [
        ("conv1.weight_int8", 4 * 64 * 9),
        ("conv2.weight_int8", 6 * 16 * 36),
        ("fc.weight_int8", 24 * 3),
    ]
    assert [site.name for site in network.sites_of("buffer")] == ["conv1.scale", "conv2.scale", "fc.scale"]
    assert network.stored_format("weight") == stored_format(torch.int8)
    assert network.stored_format("buffer") is None
    assert network.rounding == ("round",)


@pytest.mark.parametrize("engine", ["auto", "replay", "full"])
def test_every_flip_of_a_stored_weight_is_the_models_own_with_that_byte_flipped(engine: str) -> None:
    model = Int8Net()
    network = captured(model)
    form = stored_format(torch.int8)
    runs = ENGINES[engine](model, network, Corruption(RangeLimit("format", {}), form=form))
    x_NCHW = torch.rand((4, 1, 8, 8), generator=torch.Generator().manual_seed(3))
    runs.prepare(x_NCHW)
    site = next(s for s in network.sites_of("weight") if s.name == "fc.weight_int8")
    elements = torch.arange(site.neurons).repeat_interleave(8)
    bits = torch.arange(8).repeat(site.neurons)
    rows = torch.arange(len(bits)) % 4
    found = runs.inject(FaultBatch(site, rows, elements, bits))
    words = model.fc.weight_int8.numpy().ravel()[elements.numpy()]
    flipped = (words.view(np.uint8) ^ (1 << bits.numpy()).astype(np.uint8)).view(np.int8)
    assert np.array_equal(found.before_F.numpy(), words)
    assert np.array_equal(found.flipped_F.numpy(), flipped)
    assert np.array_equal(found.after_F.numpy(), flipped)
    for place in range(0, len(bits), 37):
        struck = Int8Net().eval()
        struck.fc.weight_int8.view(-1)[elements[place]] = int(flipped[place])
        with torch.no_grad():
            own = struck(x_NCHW)[rows[place]]
        assert torch.allclose(found.logits_FC[place], own, rtol=0, atol=1e-6)


def test_delta_refuses_a_model_that_rounds_its_own_values() -> None:
    network = captured(Int8Net())
    with pytest.raises(TgrError, match=r"not exact where the model rounds its own \(round\); use --engine auto"):
        ENGINES["delta"].check(network)


def test_a_model_converted_by_pt2e_is_loaded_and_its_weights_are_called_after_their_layers() -> None:
    lines = (Path(__file__).parents[2] / "docs/int8_models.md").read_text().split("```python\n")[1].split("```")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of torchao
        pytest.importorskip("torchao")
        made: dict[str, Any] = {}
        exec(lines, made)
        layers = (nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(16, 3))
        plain = nn.Sequential(*layers)
        images = torch.rand((8, 1, 8, 8), generator=torch.Generator().manual_seed(1))
        model = _with_modes(made["quantise"](plain, images)).eval()
        network = captured(model)
    assert [site.name for site in network.sites] == ["0", "4"]
    assert [(site.name, site.macs) for site in network.sites_of("weight")] == [("0.weight", 2304), ("4.weight", 48)]
    assert network.stored_format("weight") == stored_format(torch.int8)
    assert network.rounding == ("quantize_per_tensor",)
    with torch.no_grad():
        assert torch.equal(network.forward(images[:4]), model(images[:4]))
    runs = ENGINES["auto"](model, network, Corruption(RangeLimit("format", {}), form=stored_format(torch.int8)))
    runs.prepare(images[:4])
    site = network.sites_of("weight")[-1]
    found = runs.inject(FaultBatch(site, torch.arange(4), torch.arange(4), torch.tensor([7, 6, 0, 7])))
    frozen = next(tensor for tensor in model.buffers() if tensor.dtype == torch.int8 and tensor.shape == (3, 16))
    before = frozen.view(-1)[:4].clone()
    for fault, mask in enumerate((-128, 64, 1, -128)):
        frozen.view(-1)[fault] ^= mask
        with torch.no_grad():
            assert torch.allclose(model(images[:4])[fault], found.logits_FC[fault], rtol=0, atol=1e-6)
        frozen.view(-1)[fault] = before[fault]


class IntegerLayer(nn.Module):
    """A linear layer that multiplies integers, then scales the sums and adds a bias, as dynamic quantisation does."""

    def __init__(self, inputs: int, outputs: int, seed: int) -> None:
        super().__init__()
        weight = torch.rand(outputs, inputs, generator=torch.Generator().manual_seed(seed)) - 0.5
        self.register_buffer("words", (weight * 200).round().to(torch.int8))
        self.bias = nn.Parameter(torch.linspace(-1, 1, outputs))

    def forward(self, x_BI: torch.Tensor) -> torch.Tensor:
        step_B1 = x_BI.abs().amax(dim=1, keepdim=True).clamp_min(1e-6) / 127
        words_BI = (x_BI / step_B1).round().to(torch.int8)
        sums_BO = torch._int_mm(words_BI, self.words.t())
        return sums_BO.float() * step_B1 * (1 / 200) + self.bias


def test_outputs_of_integer_products_are_sites_once_they_are_scaled() -> None:
    model = nn.Sequential(nn.Flatten(), IntegerLayer(64, 16, 0), nn.ReLU(), IntegerLayer(16, 8, 1)).eval()
    network = captured(model)
    assert [(site.name, site.op, site.shape, site.macs) for site in network.sites] == [
        ("1", "linear", (16,), 1024),
        ("3", "linear", (8,), 128),
    ]
    x_NCHW = torch.rand((4, 1, 8, 8), generator=torch.Generator().manual_seed(3))
    rows, elements, bits = torch.arange(4), torch.tensor([0, 5, 9, 15]), torch.tensor([23, 31, 22, 24])
    for engine in ("auto", "full"):
        runs = ENGINES[engine](model, network, Corruption(RangeLimit("none", {})))
        golden_BC = runs.prepare(x_NCHW)
        assert torch.equal(golden_BC, model(x_NCHW).detach())
        found = runs.inject(FaultBatch(network.sites[0], rows, elements, bits))
        with torch.no_grad():
            first_BO = model[1](x_NCHW.flatten(1))
            assert torch.equal(found.before_F, first_BO[rows, elements])
            first_BO[rows, elements] = found.after_F
            assert torch.allclose(model[3](model[2](first_BO)), found.logits_FC, rtol=0, atol=1e-5)


class Product(nn.Module):
    """Logits by a product with a stored matrix, in rows of outputs or transposed, plus one with a real matrix."""

    def __init__(self, dtype: torch.dtype, step: float, *, transposed: bool) -> None:
        super().__init__()
        real = torch.rand(3, 64, generator=torch.Generator().manual_seed(5)) - 0.5
        words = (real / step).round().to(dtype)
        self.register_buffer("words", words.t().contiguous() if transposed else words)
        self.real = nn.Linear(64, 3)
        self.step, self.transposed = step, transposed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.words.float() * self.step
        x = x.flatten(1)
        return (x @ (weight if self.transposed else weight.t())) + self.real(x)


@pytest.mark.parametrize(
    ("dtype", "step", "transposed"),
    [(torch.int16, 1e-4, False), (torch.int32, 1e-7, False), (torch.int8, 0.01, True), (torch.uint8, 0.01, True)],
)
def test_words_of_any_width_and_layout_are_struck_beside_real_weights(
    dtype: torch.dtype, step: float, transposed: bool
) -> None:
    model, width = Product(dtype, step, transposed=transposed).eval(), 8 * dtype.itemsize
    network = captured(model)
    assert [(site.name, site.macs) for site in network.sites_of("weight")] == [("words", 192)]
    assert [site.name for site in network.left_out("weight")] == ["real.weight"]
    assert network.output_axis("words") == (1 if transposed else 0)
    form = stored_format(dtype)
    assert (form.width, form.bounded) == (width, width == 8)
    runs = ENGINES["auto"](model, network, Corruption(RangeLimit("none", {}), form=form))
    x_NCHW = torch.rand((4, 1, 8, 8), generator=torch.Generator().manual_seed(3))
    runs.prepare(x_NCHW)
    (site,) = network.sites_of("weight")
    elements, bits = torch.arange(2 * width) % 192, torch.arange(2 * width) % width
    rows = torch.arange(2 * width) % 4
    found = runs.inject(FaultBatch(site, rows, elements, bits))
    words = model.words.numpy().ravel()[elements.numpy()]
    unsigned = words.view(f"u{dtype.itemsize}")
    flipped = (unsigned ^ (1 << bits.numpy()).astype(unsigned.dtype)).view(words.dtype)
    assert np.array_equal(found.flipped_F.numpy(), flipped)
    for fault in range(0, 2 * width, 5):
        before = model.words.view(-1)[elements[fault]].clone()
        model.words.view(-1)[elements[fault]] = int(flipped[fault])
        with torch.no_grad():
            torch.testing.assert_close(found.logits_FC[fault], model(x_NCHW)[rows[fault]], rtol=1e-5, atol=1e-5)
        model.words.view(-1)[elements[fault]] = before
