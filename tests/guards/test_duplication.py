"""Channels computed twice: no difference without a fault, every fault found, and what each answer makes of it."""

import copy
from collections.abc import Mapping, Sequence
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from toys_guards import SHAPE, Net, images
from toys_guards import net as built

from tgr_cli.errors import TgrError
from tgr_cli.faults.deploying import deployment_of
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.graph import Network
from tgr_cli.faults.hooked import capture
from tgr_cli.guards.duplication import Answer, Duplication, duplicated
from tgr_cli.guards.guard import guards_of, protect
from tgr_cli.guards.operations import names_of, observed

CHANNELS: Mapping[str, tuple[int, ...]] = {
    "first": (0, 7),
    "depthwise": (1, 2, 5),
    "grouped": (0, 6, 7),
    "again#1": (3,),
    "again#2": tuple(range(12)),
    "weight": (4,),
}


@pytest.fixture
def net() -> Net:
    return built()


def guarded(net: nn.Module, answer: Answer, channels: Mapping[str, tuple[int, ...]] = CHANNELS) -> nn.Module:
    return protect(copy.deepcopy(net), [Duplication(channels, answer)], images(1))


@cache
def captured(answer: Answer | None) -> Network:
    """Return the graph of the network, guarded by the duplication of CHANNELS or not at all."""
    return Network.capture(guarded(built(), answer) if answer else built(), SHAPE, batch_size=3)


def logits(network: Network, site: str = "", elements: Sequence[int] = (), *, add: float = 0.0) -> Tensor:
    """Return the logits of three images; `add` is added to these elements of a site's output for the second one."""

    def strike(value_BN: Tensor) -> Tensor:
        value_BN = value_BN.clone()
        bits = value_BN.view(torch.int32)
        for element in elements:
            if add:
                value_BN[1, element] += add
            else:
                bits[1, element] ^= 1
        return value_BN

    return network.forward(images(), strike={site: strike} if site else None)


def test_names_are_those_of_the_sites(net: Net) -> None:
    seen = []
    with torch.no_grad(), observed(net, lambda operation, _: seen.append(operation)):
        net(images())
    sites = [site.name for site in captured(None).sites]
    assert [name for name, operation in zip(names_of(seen), seen, strict=True) if operation.weighted] == sites
    assert set(CHANNELS) <= set(sites)


@pytest.mark.parametrize("answer", ["rerun", "zero", "flag"])
def test_without_a_fault_the_logits_keep_their_bits(net: Net, answer: Answer) -> None:
    plain = net(images(64))
    model = guarded(net, answer)
    assert torch.equal(model(images(64)), plain)
    assert torch.equal(logits(captured(answer)), logits(captured(None)))
    assert model.state_dict().keys() == net.state_dict().keys()
    assert torch.equal(copy.deepcopy(model)(images(64)), plain)
    with torch.inference_mode():
        assert torch.equal(model(images(64)), plain)


@pytest.mark.parametrize("site", CHANNELS)
def test_the_lowest_bit_of_every_duplicated_element_is_found(site: str) -> None:
    network = captured("flag")
    (struck,) = [each for each in network.sites if each.name == site]
    size = struck.neurons // struck.shape[0]
    for channel in range(struck.shape[0]):
        lost = logits(network, site, [channel * size + 1]).isnan().all(dim=1)
        assert lost.tolist() == [False, channel in CHANNELS[site], False]


def test_answers() -> None:
    plain = logits(captured(None))
    rerun = captured("rerun")
    assert torch.equal(logits(rerun, "grouped", [6 * 64 + 5], add=50.0), plain)
    assert not torch.equal(logits(rerun, "grouped", [5 * 64 + 5], add=50.0), plain)  # not among those chosen

    zero = captured("zero")

    def without_map(value_BN: Tensor) -> Tensor:
        value_BN = value_BN.clone()
        value_BN[1, 6 * 64 : 7 * 64] = 0
        return value_BN

    expected = captured(None).forward(images(), strike={"grouped": without_map})
    assert torch.equal(logits(zero, "grouped", [6 * 64 + 5], add=50.0), expected)


def test_rounded_to_a_number_format() -> None:
    """Where the network is emulated in int8, the second computation is rounded like the first."""
    form = format_named("int8")

    def deployed(network: Network) -> Network:
        ranges = {site.name: (-3.0, 3.0) for site in network.sites}
        return network.deployed(deployment_of(network, form, form, ranges))

    network = deployed(captured("flag"))
    assert torch.equal(logits(network), logits(deployed(captured(None))))
    assert logits(network, "first", [7 * 64], add=3 / 128).isnan().all(dim=1).tolist() == [False, True, False]
    block = format_named("mxint8")
    plain = captured("flag")
    in_blocks = deployment_of(plain, block, None, {})
    with pytest.raises(TgrError, match="fits its scale to the whole output"):
        plain.deployed(in_blocks)


def test_one_dimension_and_three() -> None:
    torch.manual_seed(0)
    for convolve, convolution in (
        (nn.Conv1d(4, 6, 3, stride=2, padding=1), torch.randn(2, 4, 9)),
        (nn.Conv3d(4, 6, 3, dilation=2, padding=2, groups=2), torch.randn(2, 4, 5, 5, 5)),
    ):
        net = nn.Sequential(convolve, nn.Flatten(), nn.LazyLinear(3)).eval()
        with torch.no_grad():
            plain = net(convolution)
            model = protect(net, [Duplication({"0": (1, 4)}, "flag")], convolution[:1])
            assert torch.equal(model(convolution), plain)


def test_gradients_pass_unchanged(net: Net) -> None:
    x = images().requires_grad_()
    (expected,) = torch.autograd.grad(net(x).square().sum(), x)
    y = images().requires_grad_()
    (found,) = torch.autograd.grad(guarded(net, "rerun")(y).square().sum(), y)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("bits", [torch.float32, torch.float64, torch.bfloat16])
def test_dtypes(net: Net, bits: torch.dtype) -> None:
    net, x = net.to(bits), images().to(bits)
    plain = net(x)
    model = protect(net, [Duplication(CHANNELS, "flag")], x[:1])
    assert torch.equal(model(x), plain)


def test_refusals(net: Net) -> None:
    for name, channels, words in (
        ("other", (0,), "no such conv there .it has first, depthwise, grouped, again#1, …"),
        ("head", (0,), 'protected by duplication in "head", and runs no such conv'),
        ("first", (0, 8), '"first" has 8 channels, and channel 8 is to be duplicated'),
        ("again", (0,), "no such conv"),
    ):
        with pytest.raises(TgrError, match=words):
            guarded(net, "flag", {name: channels})
    model = guarded(net, "rerun")
    assert guards_of(model) == (Duplication(CHANNELS, "rerun"),)
    with pytest.raises(TgrError, match="protected already"):
        guarded(model, "rerun")
    transposed = nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(TgrError, match="transposed"):
        guarded(transposed, "flag", {"0": (1,)})


class Looping(nn.Module):
    """Runs its convolution as often as an image says, which torch.export cannot trace."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 1), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        for _ in range(int(x.abs().sum()) % 2):
            x = x + 1
        return self.head(x.mean((2, 3)))


def test_a_model_without_a_graph_is_refused() -> None:
    """Hooks would strike the output after the guard has seen it."""
    with pytest.raises(TgrError, match="cannot be injected into a protected model"):
        capture(guarded(Looping().eval(), "flag", {"conv": (0,)}), SHAPE, batch_size=2)


def test_a_wider_second_computation_gives_the_bits_of_the_whole() -> None:
    """Whatever the number of chosen filters, and however many groups they come from."""
    torch.manual_seed(0)
    for groups, size_in, size_out in ((1, 48, 64), (4, 32, 48), (24, 24, 24), (1, 7, 33)):
        convolve = nn.Conv2d(size_in, size_out, 3, padding=1, groups=groups)
        x = torch.randn(2, size_in, 13, 13)
        with torch.no_grad():
            whole = convolve(x)
            for chosen in ([0], [size_out - 1], [1, 5, 6], list(range(0, size_out, 3)), list(range(size_out))):
                one = (convolve.weight, convolve.bias, [1, 1], [1, 1], [1, 1], groups)
                value, failed = duplicated(whole, x, *one, chosen, "flag")
                assert torch.equal(value, whole)
                assert failed.tolist() == [False, False]


@pytest.mark.parametrize("first", [0.0, 1.0, torch.nan])
@pytest.mark.parametrize("inputs", [64, 300])
def test_a_first_image_of_one_value_says_nothing_of_the_order_of_sums(first: float, inputs: int) -> None:
    """Every order of adding zeros gives the same bits: the next image must not be taken for a fault."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(inputs, 24, 3), nn.Flatten()).eval()
    shape = (1, inputs, 7, 7)
    model = protect(net, [Duplication({"0": (1, 5, 17)}, "flag")], torch.zeros(shape))
    model(torch.full(shape, first))
    assert not any(model(torch.randn(shape)).isnan().any() for _ in range(5))


class Folded(nn.Module):
    """A convolution whose rows are parts of the images, and one that is given an image without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.parts, self.bare, self.uneven = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 2, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        x = self.parts(x.unflatten(2, (2, 4)).transpose(1, 2).flatten(0, 1))
        return self.uneven(self.bare(x[0])[None]).mean((2, 3))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("parts", "flag", "gives 2 rows for one image, so that no image can be flagged"),
        ("bare", "rerun", "given an image without a batch"),
        ("uneven", "zero", "pads unequally"),
    ],
)
def test_what_cannot_be_duplicated_is_refused_before_it_runs(name: str, answer: Answer, words: str) -> None:
    with pytest.raises(TgrError, match=words):
        protect(Folded().eval(), [Duplication({name: (0,)}, answer)], torch.zeros(1, *SHAPE))
