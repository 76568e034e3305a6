"""Gradients and sensitivities of networks that round their own values, against the same networks without rounding."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization.fx import _decomposed  # noqa: F401 - registers quantized_decomposed
from torch.nn import functional
from toys import toy_net

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import ENGINES
from tgr_cli.faults.engines.engine import FaultBatch
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.sampling import importance

X_NCHW = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
LABELS_N = torch.tensor([0, 1, 2, 0])
STEP = 1 / 64
quantized = torch.ops.quantized_decomposed


def by_tensor(x: Tensor) -> Tensor:
    words = quantized.quantize_per_tensor(x, STEP, -128, -128, 127, torch.int8)
    real: Tensor = quantized.dequantize_per_tensor(words, STEP, -128, -128, 127, torch.int8)
    return real


def by_channel(x: Tensor) -> Tensor:
    scales, zeros = torch.linspace(0.8, 1.2, x.shape[1]) * STEP, torch.zeros(x.shape[1], dtype=torch.int32)
    words = quantized.quantize_per_channel(x, scales, zeros, 1, 0, 255, torch.uint8)
    real: Tensor = quantized.dequantize_per_channel(words, scales, zeros, 1, 0, 255, torch.uint8)
    return real


def by_casts(x: Tensor) -> Tensor:
    words = (x / STEP + 0.5).clamp(0, 255).to(torch.int16)
    return (words.to(torch.int32) + 3 - 3).to(torch.float32) * STEP


def by_rounding(x: Tensor) -> Tensor:
    return torch.round(x / STEP).clamp(0, 255) * STEP


def not_at_all(x: Tensor) -> Tensor:
    return x


ROUNDINGS = [by_tensor, by_channel, by_casts, by_rounding]


class Rounded(nn.Module):
    """The toy network, in which values are rounded after the first and the second layer."""

    def __init__(self, rounded: Callable[[Tensor], Tensor], *, integer_head: bool = False) -> None:
        super().__init__()
        self.net, self.rounded, self.integer_head = toy_net(), rounded, integer_head
        self.register_buffer("words", (self.net.fc.weight.detach() * 200).round().to(torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.rounded(functional.max_pool2d(self.net.conv1(x).relu(), 2))
        x = functional.avg_pool2d(self.rounded(self.net.conv2(x).relu()), 2).flatten(1)
        if not self.integer_head:
            return self.net.fc(x)
        words = (x / STEP).round().clamp(-127, 127).to(torch.int8)
        sums = torch._int_mm(torch.cat([words] * 8)[:32], self.words.t())[: len(x)]
        return sums.float() * (STEP / 200) + self.net.fc.bias


@cache
def gradients(rounded: Callable[[Tensor], Tensor], *, integer_head: bool = False) -> Gradients:
    model = Rounded(rounded, integer_head=integer_head).eval()
    return Gradients(Network.capture(model, (1, 8, 8), batch_size=4))


def gradients_at_sites(source: Gradients) -> list[Tensor]:
    found = source.of(X_NCHW, LABELS_N)
    return [found[site].gradient_KN for site in ("net.conv1", "net.conv2")]  # type: ignore[attr-defined]


def alike(found_KN: Tensor, expected_KN: Tensor) -> float:
    return float(functional.cosine_similarity(found_KN, expected_KN).min())


@pytest.mark.parametrize("rounded", ROUNDINGS)
def test_gradients_are_about_those_of_the_network_without_rounding(rounded: Callable[[Tensor], Tensor]) -> None:
    found, expected = (gradients_at_sites(gradients(one)) for one in (rounded, not_at_all))
    for found_KN, expected_KN in zip(found, expected, strict=True):
        assert alike(found_KN, expected_KN) > 0.98


def test_gradients_pass_through_products_of_integers() -> None:
    found = gradients_at_sites(gradients(by_tensor, integer_head=True))
    for found_KN, expected_KN in zip(found, gradients_at_sites(gradients(not_at_all)), strict=True):
        assert alike(found_KN, expected_KN) > 0.95


def test_gradients_of_tensors_before_the_rounding_are_about_those_without() -> None:
    places = {"net.conv1.weight": torch.arange(36)}
    found, expected = (
        gradients(rounded).of_tensors([(X_NCHW, LABELS_N)], places)["net.conv1.weight"]
        for rounded in (by_tensor, not_at_all)
    )
    assert alike(found[None], expected[None]) > 0.98


def test_a_change_that_the_quantiser_rounds_off_is_expected_to_do_nothing_and_one_beyond_its_range_no_more() -> None:
    source = gradients(by_tensor)
    sensitivity = source.of(X_NCHW, LABELS_N)["net.conv2"]
    words_KN = (sensitivity.values_KN.relu() / STEP).round()
    middle_KN = words_KN * STEP - sensitivity.values_KN.relu()  # to the middle of the quantiser's step
    place_KM = torch.arange(96).expand(4, -1)
    moves_KMQ = torch.stack([middle_KN + 0.49 * STEP, middle_KN + 1.01 * STEP, middle_KN + 300, middle_KN + 500], 2)
    moves_KMQ = torch.where(
        (sensitivity.values_KN > 0)[..., None], moves_KMQ, moves_KMQ - sensitivity.values_KN[..., None]
    )
    found_KMQ = sensitivity.loss_change(place_KM, moves_KMQ)
    assert (found_KMQ[..., 0] == 0).all()
    assert (found_KMQ[..., 1] > 0).all()
    assert torch.equal(found_KMQ[..., 2], found_KMQ[..., 3])
    ratio_KM = found_KMQ[..., 2] / found_KMQ[..., 1]
    torch.testing.assert_close(ratio_KM, 255 - words_KN, rtol=1e-3, atol=1e-3)


def test_importance_sampling_gains_where_the_network_quantises_its_values() -> None:
    source, corruption = gradients(by_tensor), Corruption(RangeLimit("clamp", {"net.conv2": 4.0}))
    site = source.network.sites[1]
    runs = ENGINES["auto"](Rounded(by_tensor).eval(), source.network, corruption)
    golden_K = functional.cross_entropy(runs.prepare(X_NCHW), LABELS_N, reduction="none")
    element_M, bit_V = torch.arange(96), torch.arange(32)
    sensitivity = source.of(X_NCHW, LABELS_N)[site.name]
    for image in range(2):
        flips = 96 * 32
        found = runs.inject(
            FaultBatch(site, torch.full((flips,), image), element_M.repeat_interleave(32), bit_V.repeat(96))
        )
        losses_F = functional.cross_entropy(found.logits_FC, LABELS_N[image].expand(flips), reduction="none")
        dloss_MV = (losses_F - golden_K[image]).abs().double().view(96, 32)
        values_1M = sensitivity.values_KN[image : image + 1]
        change_1MV = importance.changes(corruption, site, element_M[None], values_1M, bit_V[None])
        loss_KMV = sensitivity.loss_change(element_M.expand(4, -1), change_1MV.expand(4, -1, -1))
        variances = []
        for loss_1MV in (loss_KMV[image : image + 1], torch.zeros_like(change_1MV)):
            q_MV = importance.relative(change_1MV, loss_1MV)[0].double()
            assert float(q_MV.mean()) == pytest.approx(1.0)  # so that 1 / q is an exact weight
            assert float(q_MV.min()) >= 0.1 - 1e-6
            variances.append(float((dloss_MV**2 / q_MV).mean() - dloss_MV.mean() ** 2))
        by_loss, by_change = variances
        assert by_loss < 0.25 * by_change < 0.1 * float(dloss_MV.var())
