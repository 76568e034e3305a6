"""Engines on networks deployed in a number format: which agree bit for bit, which refuse, and gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tgr_cli.errors import TgrError
from tgr_cli.faults.engines import Auto, Delta, Engine, Full, PyTorchFI, Replay
from tgr_cli.faults.formats import Format
from tgr_cli.faults.gradients import Gradients

from .deployments import BFLOAT16, NONE, deployed, faults, ranges, stepped, subject
from .small_formats import BlockSteps, ChannelSteps, ImageSteps, Steps

# Linear layers of ten inputs and fewer compute the last bit otherwise in another row of a batch. Rounding hides it,
# except where the step itself comes from an image's values.
PAIRS = [
    *[(name, Steps()) for name in ("toy", "residual", "awkward", "vit")],
    *[(name, BlockSteps()) for name in ("residual", "awkward", "vit", "TokensFirst")],
    *[(name, BFLOAT16) for name in ("residual", "vit")],
    *[(name, ImageSteps()) for name in ("toy", "residual")],
]


@pytest.mark.parametrize(("name", "form"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_replay_gives_the_logits_of_full_bit_for_bit(name: str, form: Format) -> None:
    model, network, x_NCHW = subject(name)
    other = deployed(network, x_NCHW, form, Steps())
    full, replay, auto = (kind(model, other, NONE) for kind in (Full, Replay, Auto))
    golden_NC = full.prepare(x_NCHW)
    for engine in (replay, auto):
        assert torch.equal(engine.prepare(x_NCHW), golden_NC)
    for batch in (*faults(other, 6), *faults(other, 1, "weight")):
        right = full.inject(batch)
        for engine in (replay, auto):
            found = engine.inject(batch)
            for column in ("before_F", "flipped_F", "after_F", "logits_FC"):
                same = torch.equal(
                    torch.nan_to_num(getattr(found, column), 7.0), torch.nan_to_num(getattr(right, column), 7.0)
                )
                assert same, (engine.name, batch.site.name, column)


def test_golden_values_keep_what_is_rounded_and_nothing_more() -> None:
    model, network, x_NCHW = subject("toy")
    plain, other = (Replay(model, n, NONE) for n in (network, deployed(network, x_NCHW, Steps())))
    assert plain.bytes_per_image == other.bytes_per_image
    other.prepare(x_NCHW)
    (call,) = (call for call in other.network.calls.values() if call.site.name == "conv1")
    values = other.golden.rows(call.node, torch.arange(4))
    assert len(values.unique()) <= 256


def test_delta_and_pytorchfi_refuse_and_auto_replays() -> None:
    model, network, x_NCHW = subject("toy")
    other = deployed(network, x_NCHW, Steps())
    with pytest.raises(TgrError, match=r"the engine delta adds changes .* rounded to a number format; use --engine"):
        Delta(model, other, NONE)
    assert type(Auto(model, other, NONE).chosen(other.sites[1])) is not Delta
    weights = deployed(network, x_NCHW, None, Steps())
    assert type(Auto(model, weights, NONE).chosen(weights.sites[0])) is Delta
    for each in (other, weights):
        with pytest.raises(TgrError, match="pytorchfi runs the model as it is, not deployed in a number format"):
            PyTorchFI(model, each, NONE)


@pytest.mark.parametrize("kind", [Delta, Auto])
def test_rounded_weights_alone_leave_changes_followable(kind: type[Engine]) -> None:
    model, network, x_NCHW = subject("residual")
    other = deployed(network, x_NCHW, None, ChannelSteps())
    full, fast = Full(model, other, NONE), kind(model, other, NONE)
    assert torch.allclose(fast.prepare(x_NCHW), full.prepare(x_NCHW), rtol=1e-5, atol=1e-6)
    for batch in faults(other, 6):
        moved = full.inject(batch).logits_FC.nan_to_num()
        assert torch.allclose(fast.inject(batch).logits_FC.nan_to_num(), moved, rtol=1e-3, atol=1e-4)


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, top: float) -> Tensor:
        return stepped(values, top)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


@pytest.mark.parametrize("batch_size", [4, 2])
def test_gradients_go_straight_through_the_rounding(batch_size: int) -> None:
    model, network, x_NCHW = subject("toy")
    other = deployed(network, x_NCHW, Steps())
    top = {name: max(-low, high) for name, (low, high) in ranges(network, x_NCHW).items()}
    gradients = Gradients(other) if batch_size == 4 else Gradients.capture(model, other, memory=2**31)
    assert gradients.network.deployment is other.deployment
    x_BCHW, labels = x_NCHW[:batch_size], torch.tensor([0, 1, 2, 0])[:batch_size]
    found = gradients.of(x_BCHW, labels)["conv1"]
    value = stepped(functional.conv2d(x_BCHW, model.conv1.weight, model.conv1.bias, padding=1), top["conv1"])
    value = value.detach().requires_grad_()
    hidden = functional.max_pool2d(functional.relu(value), 2)
    hidden = Rounded.apply(functional.conv2d(hidden, model.conv2.weight, model.conv2.bias, padding=1), top["conv2"])
    logits = Rounded.apply(model.fc(functional.max_pool2d(functional.relu(hidden), 2).flatten(1)), top["fc"])
    right = torch.autograd.grad(functional.cross_entropy(logits, labels, reduction="sum"), value)[0]
    slope = (value.detach() > 0).flatten(1)
    gradient = found.gradient_KN * slope
    assert torch.allclose(gradient, right.flatten(1), rtol=1e-4, atol=1e-7)
    assert gradient.any()
