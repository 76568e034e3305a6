"""Random faults in the weights of one model, and the same faults in two models."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from faults.small_formats import BlockSteps, ChannelSteps, Steps
from toys import ToyNet, toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.deploying import deployment_of
from tgr_cli.faults.formats import Format, format_named
from tgr_cli.faults.graph import Network
from tgr_cli.models.classifier import TextGuidedClassifier
from tgr_cli.saliency import weight_faults

SHAPE = (1, 8, 8)
WEIGHTS = {"conv1.weight": 36, "conv2.weight": 216, "fc.weight": 72}


@cache
def captured(make: Callable[[], torch.nn.Module]) -> Network:
    """Return the network of a model; tests share it, since none changes it."""
    return network(make())


def guided() -> TextGuidedClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TextGuidedClassifier(ToyNet(5), 3, 5)


def network(model: torch.nn.Module) -> Network:
    return Network.capture(model.eval().requires_grad_(False), SHAPE, batch_size=2)


def integers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().view(np.int32).ravel()


def test_faults_are_different_bits_and_more_of_them_begin_with_the_fewer() -> None:
    few, many = (weight_faults.draw(WEIGHTS, count, width=32, seed=3) for count in (100, 5000))
    places = set(zip(many.tensor_F.tolist(), many.element_F.tolist(), many.bit_F.tolist(), strict=True))
    assert len(places) == len(many) == 5000
    for name in ("tensor_F", "element_F", "bit_F"):
        assert (getattr(few, name) == getattr(many, name)[:100]).all()
    assert (many.element_F < np.array(list(WEIGHTS.values()))[many.tensor_F]).all()
    assert not np.array_equal(weight_faults.draw(WEIGHTS, 100, width=32, seed=4).bit_F, few.bit_F)


def test_every_bit_is_as_likely_as_any_other() -> None:
    drawn = weight_faults.draw({"small": 100, "large": 900}, 20_000, width=32, seed=0)
    # The standard deviation of a share of 1/10 and 1/32 among 20,000 is 0.0021 and 0.0012; tolerance: five of them.
    assert (drawn.tensor_F == 0).mean() == pytest.approx(0.1, abs=0.011)
    assert np.abs(np.bincount(drawn.bit_F) / 20_000 - 1 / 32).max() < 0.006


def test_all_bits_can_be_struck_and_no_more() -> None:
    drawn = weight_faults.draw({"a": 2, "b": 1}, 96, width=32, seed=0)
    assert np.bincount(drawn.tensor_F).tolist() == [64, 32]
    with pytest.raises(TgrError, match="--faults is 97, but the weights have 96 bits; use fewer"):
        weight_faults.draw({"a": 2, "b": 1}, 97, width=32, seed=0)


def test_exactly_the_drawn_bits_flip_and_the_model_stays_as_it_was() -> None:
    net = captured(toy_net)
    drawn = weight_faults.draw(WEIGHTS, 3000, width=32, seed=1)
    before = {name: integers(net.parameters[name]).copy() for name in WEIGHTS}
    faulty = weight_faults.struck(net, drawn, "none")
    flips = 0
    for number, name in enumerate(WEIGHTS):
        expected = np.zeros(WEIGHTS[name], np.int64)
        here = drawn.tensor_F == number
        np.bitwise_or.at(expected, drawn.element_F[here], 1 << drawn.bit_F[here])
        changed = (integers(faulty[name]) ^ before[name]).view(np.uint32)
        assert (changed == expected).all()
        assert (integers(net.parameters[name]) == before[name]).all()
        flips += sum(int(value).bit_count() for value in changed)
    assert flips == 3000


def test_the_clamp_holds_struck_weights_to_their_tensor_and_touches_no_other() -> None:
    net = captured(toy_net)
    drawn = weight_faults.draw(WEIGHTS, 500, width=32, seed=1)
    free, held = (weight_faults.struck(net, drawn, limit) for limit in ("none", "clamp"))
    assert not all(tensor.isfinite().all() and tensor.abs().max() < 1e6 for tensor in free.values())
    for name, tensor in held.items():
        own = net.parameters[name]
        bound = own.abs().max()
        assert tensor.abs().max() <= bound
        assert torch.equal(tensor, torch.nan_to_num(free[name], nan=bound.item()).clamp(-bound, bound))


def test_a_baseline_and_a_text_guided_model_get_the_same_faults_where_their_weights_correspond() -> None:
    nets = captured(toy_net), captured(guided)
    sizes = weight_faults.common(nets)
    assert sizes == {"conv1.weight": 36, "conv2.weight": 216}  # not fc: 3 outputs in one, 5 in the other
    drawn = weight_faults.draw(sizes, 200, width=32, seed=0)
    ours, theirs = (weight_faults.struck(net, drawn, "none") for net in nets)
    assert set(theirs) == {"backbone.conv1.weight", "backbone.conv2.weight"}
    for name, tensor in ours.items():
        flipped = integers(tensor) ^ integers(nets[0].parameters[name])
        other = f"backbone.{name}"
        assert (flipped == (integers(theirs[other]) ^ integers(nets[1].parameters[other]))).all()
        assert flipped.any()


def test_models_without_a_common_weight_are_refused() -> None:
    class Other(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = torch.nn.Linear(64, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.own(x.flatten(1))

    with pytest.raises(TgrError, match="no weight tensor of the same name and shape"):
        weight_faults.common((captured(toy_net), network(Other())))
    with pytest.raises(TgrError, match=r"stored in float32 and bfloat16"):
        weight_faults.common((captured(toy_net), network(toy_net().bfloat16())))


@pytest.mark.parametrize("form", [Steps(), ChannelSteps(), BlockSteps(), format_named("bfloat16")])
def test_faults_strike_the_words_that_a_deployed_model_stores(form: Format) -> None:
    plain = captured(toy_net)
    stored = plain.deployed(deployment_of(plain, None, form))
    strikes = weight_faults.draw(WEIGHTS, 30, width=weight_faults.form_of(stored).width, seed=1)
    found = weight_faults.struck(stored, strikes, "none")
    assert stored.deployment is not None
    for number, name in enumerate(WEIGHTS):
        before, scale = stored.parameters[name], stored.deployment.weight_scales[name]
        words_N = form.encode(before, scale).reshape(-1).clone()
        for place in np.flatnonzero(strikes.tensor_F == number):
            words_N[strikes.element_F[place]] ^= form.bit_masks(torch.tensor([strikes.bit_F[place]]))[0]
        right = form.decode(words_N.reshape(before.shape), scale, dtype=torch.float32)
        assert torch.equal(found[name].nan_to_num(7.0), right.nan_to_num(7.0)), name
        assert not torch.equal(found[name].nan_to_num(7.0), before)
