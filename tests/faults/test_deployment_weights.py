"""Weights deployed in a number format: rounded a channel or a block each, shared ones once, nothing else."""

import pytest
import torch
from torch import Tensor, nn

from tgr_cli.faults import scales
from tgr_cli.faults.graph import Network
from tgr_cli.faults.hooked import HookedNetwork
from tgr_cli.faults.network import AnyNetwork

from .deployments import deployed, images, stepped, subject
from .small_formats import BlockSteps, ChannelSteps, Steps


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
