"""Checksums of outputs: never beyond the bound of rounding without a fault, and what each answer makes of a fault."""

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from toys_guards import OPERATIONS, SHAPE, images, net

from tgr_cli.errors import TgrError
from tgr_cli.faults.deploying import deployment_of
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.graph import Network
from tgr_cli.guards.checksum import UNIT, Checksum, _bound, checksummed, extra_macs, summed
from tgr_cli.guards.guard import Answer, protect
from tgr_cli.guards.products import Product


def guarded(plain: nn.Module, answer: Answer, names: tuple[str, ...] = OPERATIONS) -> nn.Module:
    example = torch.zeros(1, *SHAPE, dtype=next(plain.parameters()).dtype)
    return protect(copy.deepcopy(plain), [Checksum(names, answer)], example)


def products(form: torch.dtype = torch.float32) -> list[Product]:
    """Return products with groups, strides and dimensions of all kinds, whose sums cancel and whose scales differ."""
    draw, found = torch.Generator().manual_seed(2), []
    for out, inputs, groups, kernel in (
        (64, 96, 1, (3, 3)),
        (48, 32, 4, (3, 5)),
        (24, 24, 24, (3, 3)),
        (9, 4, 1, (3,)),
    ):
        for scale in (1.0, 1e-3, 1e4):
            weight = scale * torch.randn(out, inputs // groups, *kernel, generator=draw)
            x = torch.randn(3, inputs, *[9] * len(kernel), generator=draw) * torch.tensor([1.0, 1e-4, 1e5]).reshape(
                3, *[1] * (len(kernel) + 1)
            )
            bias = torch.randn(out, generator=draw) if scale == 1 else None
            each = [1] * len(kernel)
            tensors = [None if one is None else one.to(form) for one in (x, weight, bias)]
            found.append(Product(*tensors, [2, *each[1:]], each, each, groups))  # type: ignore[arg-type]
    for out, inputs in ((10, 512), (1, 3), (200, 4096)):
        weight, x = (torch.randn(rows, inputs, generator=draw).to(form) for rows in (out, 5))
        found.append(Product(x, weight - weight.mean(0), None, [], [], [], 1))
    return found


@torch.no_grad()
@pytest.mark.parametrize("form", [torch.float32, torch.float64])
def test_no_false_alarm(form: torch.dtype) -> None:
    for product in products(form):
        for x in (product.x, product.x[:1], -product.x, product.x.abs()):
            each = product._replace(x=x)
            output = each.run()
            value, failed_B = checksummed(output, each, *summed(each), "flag")
            assert torch.equal(value, output)
            assert not failed_B.any()


@torch.no_grad()
def test_the_bound_is_a_bound_and_no_more_than_a_few_times_the_theory() -> None:
    """The error of the sums, against exact ones, stays below it; it grows with the number of products alone."""
    for product in products():
        filters, biases = summed(product)
        channels = len(product.weight) // product.groups
        axis = 1 if product.stride else product.x.ndim - 1
        exact = product._replace(x=product.x.double(), weight=product.weight.double())
        exact = exact._replace(bias=None if product.bias is None else product.bias.double())
        both = (one.run().double().unflatten(axis, (product.groups, channels)) for one in (product, exact))
        computed, true = (each.sum(axis + 1) for each in both)
        error = (computed - true).abs()
        size = product._replace(x=product.x.abs(), weight=filters[1], bias=biases[1]).run().double()
        bound = _bound(size, product.weight[0].numel(), channels, UNIT[torch.float32])
        assert (error <= bound / 2).all()
        count = product.weight[0].numel()
        assert (bound <= 2.5 * (count + 3) * 2.0**-24 * size + 1e-30).all()


@pytest.mark.parametrize("answer", ["rerun", "zero", "flag"])
def test_without_a_fault_the_logits_keep_their_bits(answer: Answer) -> None:
    plain = net()
    model = guarded(plain, answer)
    for count in (1, 33):
        assert torch.equal(model(images(count)), plain(images(count)))
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(copy.deepcopy(model)(images()), plain(images()))
    with torch.inference_mode():
        assert torch.equal(model(images()), plain(images()))


ANSWERED: Mapping[Answer, tuple[str, ...]] = {
    "rerun": ("first", "grouped", "again#2"),
    "zero": ("depthwise", "again#1"),
    "flag": ("weight", "head"),
}


def test_in_the_graph() -> None:
    """Each answer to faults of neurons and weights, above the bound, below it, and not finite."""
    plain = Network.capture(net(), SHAPE, batch_size=3)
    guards = [Checksum(names, answer) for answer, names in ANSWERED.items()]
    network = Network.capture(protect(net(), guards, images(1)), SHAPE, batch_size=3)
    expected = plain.forward(images())
    assert network.sites == plain.sites
    assert network.parameter_sites == plain.parameter_sites
    assert torch.equal(network.forward(images()), expected)

    def logits(site: str, value: float) -> Tensor:
        def strike(value_BN: Tensor) -> Tensor:
            value_BN = value_BN.clone()
            value_BN[1, 1] += value
            return value_BN

        return network.forward(images(), strike={site: strike})

    for answer, names in ANSWERED.items():
        for site in names:
            for wrong in (0.01, -3.0, 1e30, float("inf"), float("nan")):
                found = logits(site, wrong)
                if answer == "flag":
                    assert found.isnan().all(dim=1).tolist() == [False, True, False]
                else:
                    assert found.isfinite().all()
                    assert torch.equal(found, expected) or answer == "zero"
                assert torch.equal(found[[0, 2]], expected[[0, 2]])
            # A change by a few units in the last place is within rounding: not found, and of no consequence.
            assert torch.allclose(logits(site, 1e-7), expected, atol=1e-6)

    for name in ("weight", "head.weight"):
        faulty = {name: plain.parameters[name].detach().clone()}
        faulty[name].view(-1)[1] += 1.0
        assert network.forward(images(), parameters=faulty).isnan().all()
    again = {"first.weight": plain.parameters["first.weight"] + 1.0}  # the wrong weight is read again
    assert torch.equal(network.forward(images(), parameters=again), plain.forward(images(), parameters=again))

    form, ranges = format_named("int8"), {site.name: (-3.0, 3.0) for site in network.sites}
    with pytest.raises(TgrError, match="--format is int8, and the model is protected by checksums"):
        network.deployed(deployment_of(network, form, None, ranges))
    with pytest.raises(TgrError, match="--weight-format is int8, and the model is protected by checksums"):
        network.deployed(deployment_of(network, None, form))


@torch.no_grad()
def test_zero_takes_the_group_at_the_position() -> None:
    product = products()[3]  # four groups of 12 channels
    output = product.run()
    wrong = output.clone()
    wrong[1, 13, 2, 3] = 1e9
    value, failed_B = checksummed(wrong, product, *summed(product), "zero")
    output[1, 12:24, 2, 3] = 0
    assert torch.equal(value, output)
    assert failed_B.tolist() == [False, True, False]


def test_gradients_pass_unchanged() -> None:
    x = images().requires_grad_()
    (expected,) = torch.autograd.grad(net()(x).square().sum(), x)
    y = images().requires_grad_()
    (found,) = torch.autograd.grad(guarded(net(), "rerun")(y).square().sum(), y)
    assert torch.equal(found, expected)


def test_cost() -> None:
    """Two filters of 3 × 3 × 16 at each of 64 positions, of 32; depthwise, as much again twice."""
    assert extra_macs(32 * 64 * 9 * 16, 32, 1) == 2 * 64 * 9 * 16
    assert extra_macs(32 * 64 * 9, 32, 32) == 2 * 32 * 64 * 9


class Rows(nn.Module):
    """Gives a linear layer several rows an image, side by side with those of other images."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.reshape(-1, 8)).reshape(len(x), -1, 4).sum(1)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_refusals() -> None:
    transposed = nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(TgrError, match="transposed convolution, for which there is no checksum"):
        guarded(transposed, "flag", ("0",))
    for form in (torch.bfloat16, torch.float16):
        with pytest.raises(TgrError, match=f"computes in {form}, and the bound of rounding holds for float32"):
            guarded(net().to(form), "rerun", ("head",))
    with pytest.raises(TgrError, match="gives 24 rows for one image, so that no image can be flagged"):
        guarded(Rows().eval(), "flag", ("head",))
    model = guarded(Rows().eval(), "rerun", ("head",))
    assert model(images()).isfinite().all()
    uneven = nn.Sequential(nn.Conv2d(3, 4, 2, padding="same"), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(TgrError, match="pads unequally"):
        guarded(uneven, "rerun", ("0",))
