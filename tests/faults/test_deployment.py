"""Networks deployed in a number format: what is rounded, that engines agree on it, and what stays as it is."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from toys import toy_net
from toys_choosing import build as choosing

from tgr_cli.errors import TgrError
from tgr_cli.faults import scales
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.deploying import deployment_of, formats_of
from tgr_cli.faults.engines import Auto, Delta, Engine, FaultBatch, Full, PyTorchFI, Replay
from tgr_cli.faults.formats import Format, format_named
from tgr_cli.faults.formats.names import all_formats
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.graph import Network
from tgr_cli.faults.hooked import HookedNetwork
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.network import AnyNetwork

from .awkward import awkward
from .engines.test_parameter_faults import vit
from .small_formats import BlockSteps, ChannelSteps, ImageSteps, Steps
from .test_tensor_sites import Tied
from .tokened import TOKENED, tokened
from .varied import SHAPE_CHW, VARIED, varied

BFLOAT16 = format_named("bfloat16")
EVERY = ("conv", "linear", "matmul")
NONE = Corruption(RangeLimit("none", {}))


def ranges(network: AnyNetwork, x_NCHW: Tensor) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}

    def look(site: Any, values: Tensor) -> None:
        low, high = found.get(site.name, (0.0, 0.0))
        found[site.name] = (min(low, float(values.min())), max(high, float(values.max())))

    for x_BCHW in x_NCHW.split(network.batch_size):
        network.forward(x_BCHW, observe=look)
    return found


def deployed(network: AnyNetwork, x_NCHW: Tensor, form: Format | None, weight_form: Format | None = None) -> AnyNetwork:
    return network.deployed(deployment_of(network, form, weight_form, ranges(network, x_NCHW)))


def images(shape_CHW: tuple[int, ...], count: int = 8) -> Tensor:
    return torch.randn(count, *shape_CHW, generator=torch.Generator().manual_seed(1))


@cache
def subject(name: str) -> tuple[nn.Module, Network, Tensor]:
    """Return a model, its network with all kinds of sites, captured for 4 images, and 8 images."""
    kinds = {kind.__name__: kind for kind in TOKENED}
    shape = {"vit": (3, 32, 32)}.get(name, SHAPE_CHW if name in VARIED else (1, 8, 8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name in VARIED:
            model = varied(name)
        elif name in kinds:
            model = tokened(kinds[name])
        else:
            model = {"toy": toy_net, "awkward": awkward, "tied": Tied, "vit": vit}[name]().eval()
    return model, Network.capture(model, shape, batch_size=4, targets=EVERY), images(shape)


def stepped(values: Tensor, largest: Tensor | float) -> Tensor:
    """Return values in int8 as ISSRE 2021 defines it: s = max|x| / 127, clip(round(x / s), -128, 127) × s."""
    step = torch.as_tensor(largest) / 127
    return (values / step).round().clamp(-128, 127) * step


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


def faults(network: AnyNetwork, count: int, target: str = "neuron") -> list[FaultBatch]:
    generator = torch.Generator().manual_seed(2)
    return [
        FaultBatch(site, *(torch.randint(0, bound, (count,), generator=generator) for bound in (8, site.neurons, 32)))
        for site in network.sites_of(target)
    ]


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


class Layers(nn.Module):
    """A transposed convolution, a product with a stored matrix, a batch norm, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(1, 3, 2, stride=2)
        self.norm = nn.BatchNorm2d(3)
        self.matrix = nn.Parameter(torch.randn(3 * 256, 5) * torch.tensor([1.0, 10.0, 100.0, 1e3, 1e4]))
        self.fc = nn.Linear(5, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.fc(self.norm(self.up(x_BCHW)).flatten(1) @ self.matrix)


def layers() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Layers().eval()


@pytest.mark.parametrize("hooked", [False, True])
def test_weights_are_rounded_a_channel_each_and_nothing_else_is(hooked: bool) -> None:
    model = layers()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    network: AnyNetwork = HookedNetwork(model, (1, 8, 8)) if hooked else Network.capture(model, (1, 8, 8), batch_size=4)
    x_NCHW = images((1, 8, 8))
    other = deployed(network, x_NCHW, None, ChannelSteps())
    channels = {"up.weight": 1, "fc.weight": 0} | ({} if hooked else {"matrix": 1})  # hooks see modules only
    rounded = {}
    for name, axis in channels.items():
        others = tuple(each for each in range(before[name].ndim) if each != axis)
        rounded[name] = stepped(before[name], before[name].abs().amax(dim=others, keepdim=True))
        assert torch.equal(other.parameters[name], rounded[name]), name
        assert not torch.equal(rounded[name], stepped(before[name], before[name].abs().max()))
    for name in before.keys() - channels.keys() - {"norm.num_batches_tracked"}:
        assert torch.equal(other.parameters[name], before[name]), name
    model.load_state_dict({**before, **rounded})
    with torch.no_grad():
        right = model(x_NCHW[: network.batch_size])
    model.load_state_dict(before)
    assert torch.equal(other.forward(x_NCHW[: network.batch_size]), right)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(network.parameters[name], before[name]) for name in channels)


def test_a_shared_tensor_is_rounded_once_and_everywhere() -> None:
    _, network, x_NCHW = subject("tied")
    other = deployed(network, x_NCHW, None, Steps())
    for site in network.sites_of("weight"):
        held = [other.constants[node] for node in other.holders[site.name]]
        assert all(value is other.parameters[site.name] for value in held)
    assert len({id(value) for value in other.parameters.values()}) == len(network.parameters)


def test_a_scale_is_known_for_every_stored_weight_and_its_code_words() -> None:
    _, network, x_NCHW = subject("residual")
    for form in (Steps(), ChannelSteps(), BlockSteps()):
        other = deployed(network, x_NCHW, None, form)
        assert other.deployment is not None
        for name, scale in other.deployment.weight_scales.items():
            assert scale is not None
            value = other.parameters[name]
            assert torch.equal(form.decode(form.encode(value, scale), scale, dtype=value.dtype), value), name
            elements = torch.tensor([0, value.numel() - 1])
            alone = scales.at(scale, tuple(value.shape), elements)
            words = form.encode(value.reshape(-1)[elements], alone)
            assert torch.equal(words, form.encode(value, scale).reshape(-1)[elements])
        assert len(other.deployment.weight_scales) == 9


def test_blocks_of_a_weight_are_neighbours_that_one_output_sums_over() -> None:
    weight = torch.arange(1.0, 1 + 2 * 3 * 1 * 2).reshape(2, 3, 1, 2)
    scale = scales.of_weight(BlockSteps(), weight, axis=0)
    assert scale is not None
    largest = [[4, 4, 4, 4, 6, 6], [10, 10, 10, 10, 12, 12]]
    right = torch.exp2(torch.tensor(largest).log2().floor() - 6).reshape(weight.shape)
    assert torch.equal(scale.step.expand(weight.shape), right)
    across = scales.of_weight(BlockSteps(), weight.movedim(0, 1).contiguous(), axis=1)
    assert across is not None
    assert torch.equal(across.step, right.movedim(0, 1))


def test_a_format_with_a_scale_a_channel_is_refused_for_outputs() -> None:
    _, network, x_NCHW = subject("toy")
    with pytest.raises(TgrError, match=r"channel-steps, which has a scale for each channel .* with --weight-format"):
        deployed(network, x_NCHW, ChannelSteps())


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
