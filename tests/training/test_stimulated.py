"""Stimulated training: which bits are flipped, how often, and the gradient."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.models.classifier import text_guided
from tgr_cli.training.layers import last_layer, layers, matching
from tgr_cli.training.stimulated import Disturbance, Stimulation, dropped, stimulated, strike_

CPU = torch.device("cpu")


def values(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def struck(before: torch.Tensor, seed: int = 0, **options: object) -> torch.Tensor:
    after = before.clone()
    table = Stimulation(**{"probability": 0.2, **options}).table(before.dtype, CPU)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        strike_(after, table)
    return after


def test_one_bit_of_one_neuron_in_five_is_flipped_each_bit_as_often_but_never_the_sign() -> None:
    before = values(200_000)
    masks, counts = torch.unique(Stimulation(probability=0.2).masks(torch.float32), return_counts=True)
    assert masks.tolist() == [0, *(2**bit for bit in range(31))]
    assert counts[1:].tolist() == [423] * 31  # 31 · 423 / 65,536 = 0.2001

    after = struck(before)
    changed = after.view(torch.int32) ^ before.view(torch.int32)
    bits = changed[(changed != 0) & (after != 0)]
    assert (torch.log2(bits.double()) % 1 == 0).all()  # one bit each
    hit = (changed != 0).double().mean().item()
    assert hit == pytest.approx(0.2001, abs=4 * (0.2 * 0.8 / 200_000) ** 0.5)
    low = torch.bincount(torch.log2(bits.double()).long(), minlength=31)[:24]  # flips of these never exceed the limit
    expected = 200_000 * 423 / 65_536
    assert (((low - expected) ** 2) / expected).sum() < 53  # chi-square, 24 degrees of freedom, 99.9 %
    assert (torch.signbit(after) == torch.signbit(before))[after != 0].all()


def test_values_beyond_the_range_of_the_batch_are_set_to_zero() -> None:
    before = values(100_000)
    after = struck(before, bits="30")
    # Bit 30 turns a number below 1 into about 1e38, and one from 1 to 2 into NaN or infinity.
    small, middle = ((after != before) & (before.abs() >= low) & (before.abs() < low + 1) for low in (0, 1))
    assert small.sum() > 10_000
    assert middle.sum() > 4_000
    assert (after[small | middle] == 0).all()
    edge = torch.tensor([1.5, 3.0]).repeat(1000)  # bit 22 turns 1.5 into 1 and 3 into 2, bit 23 into 0.75 and 6
    assert set(struck(edge, bits="22", probability=0.5).tolist()) == {1.5, 1.0, 3.0, 2.0}
    assert set(struck(edge, bits="23", probability=0.5).tolist()) == {1.5, 3.0, 0.75, 0.0}
    nan = torch.full((1000,), 1.5)
    nan[:100] = 4.0
    assert set(struck(nan, bits="30", probability=0.5).tolist()) == {1.5, 4.0, 0.0, 2.0**-126}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_has_its_own_bits(dtype: torch.dtype) -> None:
    before = values(50_000).to(dtype)
    after = struck(before, bits="0-9")
    changed = after.view(torch.int16) ^ before.view(torch.int16)
    assert set(changed.tolist()) <= {0, *(2**bit for bit in range(10))} | set(
        (after.view(torch.int16) ^ before.view(torch.int16))[after == 0].tolist()
    )
    assert (changed != 0).double().mean().item() == pytest.approx(0.2, abs=0.01)


@given(bits=st.lists(st.integers(0, 31), min_size=1, max_size=32, unique=True), probability=st.floats(0.001, 1))
def test_the_table_holds_the_bits_alike_and_the_probability_to_half_a_step(bits: list[int], probability: float) -> None:
    stimulation = Stimulation(probability=probability, bits=",".join(map(str, bits)))
    table = stimulation.masks(torch.float32).long() & 0xFFFFFFFF
    masks, counts = torch.unique(table[table != 0], return_counts=True)
    assert masks.tolist() == [2**bit for bit in sorted(bits)]
    assert len(set(counts.tolist())) == 1 or probability > 0.99
    assert abs((table != 0).double().mean().item() - probability) <= 0.5 * len(bits) / 2**16 + 1e-12


@pytest.mark.parametrize(("dtype", "together"), [(torch.float32, 4), (torch.bfloat16, 8)])
def test_neighbours_share_a_draw_and_nothing_else(dtype: torch.dtype, together: int) -> None:
    stimulation = Stimulation(probability=0.2)
    masks = stimulation.masks(dtype)
    table = stimulation.table(dtype, CPU).view(masks.dtype).view(-1, together)
    assert all(torch.equal(table[:, place].sort().values, masks.sort().values) for place in range(together))
    hit = (table != 0).double()
    share = hit.mean().item()
    for one in range(together):
        for other in range(one):  # both are flipped as often as independent ones: within 4 standard deviations
            assert (hit[:, one] * hit[:, other]).mean().item() == pytest.approx(share**2, abs=4 * share / 2**8)


def test_where_it_strikes_does_not_depend_on_the_layout_but_on_the_generator() -> None:
    before = values(2, 3, 64, 64)
    one, same, other = struck(before), struck(before), struck(before, seed=1)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    inner = before.contiguous(memory_format=torch.channels_last)
    assert torch.equal(struck(inner).permute(0, 2, 3, 1).flatten(), struck(inner.permute(0, 2, 3, 1)).flatten())


class Watched(nn.Module):
    """Two linear layers; `seen` is the first one's output as received by the second."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(40, 500), nn.Linear(500, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = self.first(x)
        self.seen.retain_grad()
        return self.second(self.seen)


def test_the_gradient_passes_straight_through_and_the_weights_see_what_was_struck() -> None:
    model, x = Watched(), values(8, 40)
    with stimulated(model, Stimulation(probability=0.2)):
        model(x).sum().backward()
    clean = model.first(x)
    assert 0.1 < (model.seen != clean).double().mean() < 0.3
    assert torch.allclose(model.first.weight.grad, model.seen.grad.T @ x, atol=1e-6)  # type: ignore[union-attr]
    assert torch.allclose(model.second.weight.grad, model.seen.sum(0).expand(3, -1), rtol=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "disturbed",
    [lambda m: stimulated(m, Stimulation(probability=0.5)), lambda m: dropped(m, 0.5, None)],
    ids=["stimulated", "dropout"],
)
def test_only_training_is_disturbed_and_the_model_is_left_as_it_was(disturbed: Callable) -> None:
    model, x = toy_net(), values(4, 1, 8, 8)
    before = model(x)
    with disturbed(model):
        assert torch.equal(model(x), before)
        model.train()
        assert not torch.equal(model(x), before)
    assert torch.equal(model(x), before)
    assert all(not module._forward_hooks for module in model.modules())


def test_dropout_scales_what_it_leaves() -> None:
    model = Watched().train()
    with dropped(model, 0.25, None), torch.random.fork_rng(devices=[]):
        x = values(20, 40)
        clean = model.first.weight @ x.T
        model(x)
    kept = model.seen != 0
    assert kept.double().mean().item() == pytest.approx(0.75, abs=0.03)
    assert torch.allclose(model.seen[kept] * 0.75, (clean.T + model.first.bias)[kept], atol=1e-5)


def test_layers_are_chosen_by_patterns_and_the_logits_are_spared() -> None:
    toy = toy_net()
    assert list(layers(toy)) == ["conv1", "conv2", "fc"]
    assert list(matching(toy, None, "--stimulated-sites")) == ["conv1", "conv2"]
    assert list(matching(toy, "fc, conv1", "--stimulated-sites")) == ["conv1", "fc"]
    assert list(matching(toy, "conv*", "--stimulated-sites")) == ["conv1", "conv2"]
    guided = text_guided("lenet5", torch.eye(3, 8))
    assert last_layer(guided) == "head"
    assert list(matching(guided, None, "--stimulated-sites"))[-1] == "backbone.fc3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 0.0}, r"--stimulated is 0; it must be in \(0, 1\]"),
        ({"probability": 1e-5}, "--stimulated is 1e-05, too small for 31 bits; give 0.00024 or more"),
        ({"probability": 0.2, "bits": "0-32"}, "--stimulated-bits has bit 32; torch.float32 has the bits 0 to 31"),
        (
            {"probability": 0.2, "bits": "high"},
            '--stimulated-bits is "high"; write bits and ranges of bits, as 0-22,30',
        ),
        ({"probability": 0.2, "bits": "9-3"}, '--stimulated-bits is "9-3", which names no bit; write ranges from low'),
        (
            {"probability": 0.2, "sites": "cnov*"},
            r'names "cnov\*", which is no convolution or linear layer; this model',
        ),
    ],
)
def test_values_without_meaning_are_refused(options: dict, message: str) -> None:
    with pytest.raises(TgrError, match=message), stimulated(toy_net().train(), Stimulation(**options)):
        Stimulation(**options).masks(torch.float32)


class Functional(nn.Module):
    """Calls `first`, and passes the weights of `second` to a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.logits = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(nn.functional.linear(self.first(x), self.second.weight))


def test_layers_that_no_hook_sees_are_told_and_refused_where_there_are_no_others() -> None:
    model, x = Functional().eval(), torch.zeros(1, 6)
    assert Disturbance(stimulated=0.2, stimulated_sites="first").out_of_reach(model, x) == []
    (sentence,) = Disturbance(dropout=0.2).out_of_reach(model, x)
    assert sentence == (
        "--dropout acts on 1 of 2 layers; out of its reach are those whose weights the model uses in functions of its "
        "own: second"
    )
    with pytest.raises(TgrError, match="--stimulated reaches no layer: the model uses the weights of second in"):
        Disturbance(stimulated=0.2, stimulated_sites="second").out_of_reach(model, x)
    assert all(not module._forward_pre_hooks for module in model.modules())
