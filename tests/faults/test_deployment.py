"""Networks deployed in a number format: which outputs are rounded, by which scale, and what is refused."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys_choosing import build as choosing

from tgr_cli.errors import TgrError
from tgr_cli.faults.deploying import formats_of
from tgr_cli.faults.engines import FaultBatch, Full, Replay
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.formats.names import all_formats
from tgr_cli.faults.graph import Network
from tgr_cli.faults.hooked import HookedNetwork

from .deployments import BFLOAT16, NONE, deployed, faults, images, ranges, stepped, subject
from .small_formats import BlockSteps, ChannelSteps, Steps


def by_hooks(model: nn.Module, rounded: dict[str, Any], x_BCHW: Tensor) -> Tensor:
    """Return the logits of a model whose modules' outputs are replaced by functions of them."""
    handles = [
        model.get_submodule(name).register_forward_hook(lambda _, __, out, f=function: f(out))
        for name, function in rounded.items()
    ]
    try:
        with torch.no_grad():
            return model(x_BCHW)
    finally:
        for handle in handles:
            handle.remove()


def test_every_output_is_rounded_to_its_own_range_and_the_next_layer_reads_that() -> None:
    model, network, x_NCHW = subject("toy")
    seen = ranges(network, x_NCHW)
    largest = {name: max(-low, high) for name, (low, high) in seen.items()}
    right = {name: lambda out, top=top: stepped(out, top) for name, top in largest.items()}
    found = deployed(network, x_NCHW, Steps()).forward(x_NCHW[:4])
    assert torch.equal(found, by_hooks(model, right, x_NCHW[:4]))
    assert not torch.equal(found, network.forward(x_NCHW[:4]))
    bfloat = {name: lambda out: out.bfloat16().float() for name in seen}
    assert torch.equal(deployed(network, x_NCHW, BFLOAT16).forward(x_NCHW[:4]), by_hooks(model, bfloat, x_NCHW[:4]))


def test_what_is_observed_and_struck_is_rounded() -> None:
    _, network, x_NCHW = subject("toy")
    other = deployed(network, x_NCHW, Steps())
    top = {name: max(-low, high) for name, (low, high) in ranges(network, x_NCHW).items()}
    observed: dict[str, Tensor] = {}
    struck: list[Tensor] = []

    def keep(output_BN: Tensor) -> Tensor:
        struck.append(output_BN.clone())
        return output_BN

    other.forward(x_NCHW[:4], observe=lambda site, v: observed.update({site.name: v.clone()}), strike={"conv2": keep})
    for name, values in observed.items():
        assert torch.equal(values, stepped(values, top[name])), name
        assert len(values.unique()) <= 256
    assert torch.equal(struck[0], observed["conv2"])


def test_values_beyond_the_profiled_range_saturate() -> None:
    _, network, x_NCHW = subject("toy")
    other = deployed(network, x_NCHW, Steps())
    seen: dict[str, Tensor] = {}
    other.forward(100 * x_NCHW[:4], observe=lambda site, values: seen.update({site.name: values.clone()}))
    low, high = ranges(network, x_NCHW)["conv1"]
    step = max(-low, high) / 127
    assert float(seen["conv1"].max()) == pytest.approx(127 * step)
    assert float(seen["conv1"].min()) == pytest.approx(-128 * step)


@pytest.mark.parametrize("name", ["toy", "residual", "vit", "TokensFirst"])
def test_scales_of_blocks_are_of_each_image_alone_along_its_channels(name: str) -> None:
    _, network, x_NCHW = subject(name)
    plain: dict[str, Tensor] = {}
    first = network.sites[0]
    other = deployed(network, x_NCHW, BlockSteps())
    seen: dict[str, Tensor] = {}
    network.forward(x_NCHW[:4], observe=lambda site, values: plain.setdefault(site.name, values.clone()))
    other.forward(x_NCHW[:4], observe=lambda site, values: seen.setdefault(site.name, values.clone()))
    assert other.channel_axis(first.name) == network.channel_axis(first.name) == -len(first.shape)
    values = plain[first.name].reshape(4, *first.shape)
    blocks = values.split(4, dim=1)  # the channels of a convolution, four at a time; what is left is a smaller block
    right = torch.cat(
        [
            (block / step).round().clamp(-128, 127) * step
            for block in blocks
            for step in [torch.exp2(block.abs().amax(dim=1, keepdim=True).log2().floor() - 6)]
        ],
        dim=1,
    )
    assert torch.equal(seen[first.name].reshape(right.shape), right)
    for swapped in ([0, 2, 1, 3], [0, 0, 0, 0]):
        alone: dict[str, Tensor] = {}
        other.forward(x_NCHW[:4][swapped], observe=lambda s, values, to=alone: to.setdefault(s.name, values.clone()))
        for site in network.sites:
            if site.per_image:
                assert torch.equal(alone[site.name][0], seen[site.name][0]), site.name


def test_a_format_with_a_scale_a_channel_is_refused_for_outputs() -> None:
    _, network, x_NCHW = subject("toy")
    with pytest.raises(TgrError, match=r"channel-steps, which has a scale for each channel .* with --weight-format"):
        deployed(network, x_NCHW, ChannelSteps())


def test_a_model_without_a_graph_is_rounded_too() -> None:
    model = choosing()
    network = HookedNetwork(model, (1, 8, 8))
    x_NCHW = torch.full((4, 1, 8, 8), 0.5) + 0.1 * images((1, 8, 8), 4)
    seen = ranges(network, x_NCHW)
    other = deployed(network, x_NCHW, Steps(), Steps())
    values: dict[str, Tensor] = {}
    other.forward(x_NCHW[:1], observe=lambda site, value: values.update({site.name: value.clone()}))
    for name, value in values.items():
        top = max(-seen[name][0], seen[name][1])
        assert torch.equal(value, stepped(value, top)), name
    assert not torch.equal(other.forward(x_NCHW[:1]), network.forward(x_NCHW[:1]))
    engine = Full(model, other, NONE)
    engine.prepare(x_NCHW)
    for batch in faults(other, 3):
        four = FaultBatch(batch.site, batch.rows_F % 4, batch.elements_F, torch.full_like(batch.rows_F, 31))
        found = engine.inject(four)
        assert torch.equal(found.flipped_F, -found.before_F)


class Dead(nn.Module):
    """Has a convolution whose outputs are all 0."""

    def __init__(self) -> None:
        super().__init__()
        self.dead, self.live, self.fc = nn.Conv2d(1, 3, 3, bias=False), nn.Conv2d(1, 3, 3), nn.Linear(3 * 36, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.fc((self.dead(x_BCHW) + torch.relu(self.live(x_BCHW))).flatten(1))


@cache
def dead() -> tuple[nn.Module, Network]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Dead().eval()
    nn.init.zeros_(model.dead.weight)
    return model, Network.capture(model, (1, 8, 8), batch_size=4)


UNSUITABLE = {"float64", "int64", "int32", "uint8", "int8:channel"}
NAMED = [*(form.name for form in all_formats()), "int8:affine", "uint8:affine", "int8:channel"]


@pytest.mark.parametrize("name", NAMED)
def test_every_named_format_holds_the_values_of_a_network_or_is_refused(name: str) -> None:
    model, network = dead()
    x_NCHW = images((1, 8, 8))
    if name in UNSUITABLE:
        with pytest.raises(TgrError):
            deployed(network, x_NCHW, formats_of(name, None)[0])
        return
    other = deployed(network, x_NCHW, format_named(name), format_named(name))
    assert other.deployment is not None
    assert other.deployment.form is not None
    seen: dict[str, Tensor] = {}
    plain_BC = network.forward(x_NCHW[:4])
    logits_BC = other.forward(x_NCHW[:4], observe=lambda site, values: seen.update({site.name: values.clone()}))
    assert torch.allclose(logits_BC, plain_BC, atol=0.5)
    form = other.deployment.form
    for site in other.sites:  # a value's code word gives it again, from the scale of what is rounded already
        scale = other.deployment.scale(site, other.channel_axis(site.name), seen[site.name])
        words_BN = form.encode(seen[site.name], scale)
        assert torch.equal(form.decode(words_BN, scale, dtype=torch.float32), seen[site.name]), site.name
    full, replay = Full(model, other, NONE), Replay(model, other, NONE)
    assert torch.equal(full.prepare(x_NCHW), replay.prepare(x_NCHW))
    batch = faults(other, 4)[1]
    right, found = (engine.inject(batch).logits_FC.nan_to_num(7.0) for engine in (full, replay))
    assert torch.equal(right, found)
