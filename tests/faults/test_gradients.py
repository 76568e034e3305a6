"""Sensitivities of the loss to neurons, against autograd and against runs with the neuron changed."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.engines.memory import CAPTURING
from tgr_cli.faults.gradients import Gradients, bytes_per_image
from tgr_cli.faults.graph import Network

X_NCHW = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS_N = torch.tensor([0, 1, 2, 0, 1])


def gradients(model: nn.Module, batch_size: int = 5) -> Gradients:
    return Gradients(Network.capture(model.eval(), (1, 8, 8), batch_size=batch_size))


def places(neurons: int, count: int = 5) -> Tensor:
    return torch.arange(neurons).expand(count, -1)


def losses(network: Network, logits_KC: Tensor) -> Tensor:
    return functional.cross_entropy(logits_KC, LABELS_N[: len(logits_KC)], reduction="none")


def true_change(network: Network, site: str, element: int, change: float) -> Tensor:
    """Return the change of each image's loss when one neuron of a site is changed."""

    def strike(output_BN: Tensor) -> Tensor:
        changed_BN = output_BN.clone()
        changed_BN[:, element] += change
        return changed_BN

    golden, faulty = network.forward(X_NCHW), network.forward(X_NCHW, strike={site: strike})
    return losses(network, faulty) - losses(network, golden)


class Joined(nn.Module):
    """Has a batch norm, a sum, a clipped activation, a site with two readers, and scaled logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 8)
        self.norm = nn.BatchNorm2d(2)
        self.act = nn.ReLU6()
        self.twice = nn.Linear(2, 4)
        self.head = nn.Linear(4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.norm(self.conv(x)) + x[:, :, :1, :1])
        z = self.twice(h.flatten(1))
        return self.head(z / z.norm(dim=1, keepdim=True)) * 10


def joined() -> Joined:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Joined().eval()
        model.norm.weight.data[:] = torch.tensor([2.0, -0.5])
        model.norm.running_mean[:] = torch.tensor([0.4, -0.3])
    return model


@pytest.mark.parametrize("site", ["conv1", "conv2", "fc"])
def test_of_a_small_change_the_estimate_is_what_the_network_does(site: str) -> None:
    source = gradients(toy_net())
    sensitivity = source.of(X_NCHW, LABELS_N)[site]
    neurons = sensitivity.values_KN.shape[1]
    estimate_KM = sensitivity.loss_change(places(neurons), torch.full((5, neurons, 1), 0.01))[..., 0]
    true_KM = torch.stack([true_change(source.network, site, m, 0.01) for m in range(neurons)], dim=1).abs()
    # each row has an arbitrary unit
    scale_K1 = true_KM.amax(dim=1, keepdim=True) / estimate_KM.amax(dim=1, keepdim=True)
    close_KM = torch.isclose(estimate_KM * scale_K1, true_KM, rtol=0.05, atol=2e-6)
    assert close_KM.float().mean() > 0.98  # for a few neurons, the change makes others the maximum of their pool
    torch.testing.assert_close(sensitivity.at(places(neurons)[:, :2]), sensitivity.values_KN[:, :2])


def test_a_shut_relu_that_a_fault_opens_is_no_zero() -> None:
    model = toy_net()
    model.conv2.bias.data[:] = -5.0  # all later ReLUs are inactive
    source = gradients(model)
    sensitivity = source.of(X_NCHW, LABELS_N)["conv2"]
    changes_KMQ = torch.tensor([1.0, 40.0]).expand(5, 96, 2)
    estimate_KMQ = sensitivity.loss_change(places(96), changes_KMQ)
    assert (estimate_KMQ[..., 0] == 0).all()
    assert (estimate_KMQ[..., 1] > 0).all()  # although of four tied values in a pool only one has a gradient
    assert true_change(source.network, "conv2", 0, 40.0).abs().min() > 0


class Pooled(nn.Module):
    """Two maps, concatenated and pooled with overlapping windows."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 2, 3, padding=1)
        self.fc = nn.Linear(3 * 4 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([torch.relu(self.left(x)), torch.relu(self.right(x))], 1)
        return self.fc(functional.max_pool2d(joined, 3, 2, 1).flatten(1))


def test_a_neuron_that_becomes_the_maximum_of_its_pools_leans_as_they_do() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Pooled()
        model.left.bias.data += 2  # all ReLUs are active, so that no two neurons tie for a maximum
        model.right.bias.data += 2
    found_KM = gradients(model).of(X_NCHW, LABELS_N)["right"].loss_change(places(128), torch.full((5, 128, 1), 50.0))
    with torch.no_grad():
        maps_BCHW = torch.relu(torch.cat([model.left(X_NCHW), model.right(X_NCHW)], 1))
        struck_BCHW = torch.relu(model.right(X_NCHW) + 50)
    maxima_BCHW = functional.max_pool2d(maps_BCHW, 3, 2, 1).requires_grad_()
    losses_K = functional.cross_entropy(model.fc(maxima_BCHW.flatten(1)), LABELS_N, reduction="none")
    (gradient_BCHW,) = torch.autograd.grad(losses_K.sum(), maxima_BCHW)
    maxima_BCHW = maxima_BCHW.detach()
    expected = torch.zeros(5, 2, 8, 8)
    for image, channel, y, x in torch.cartesian_prod(*map(torch.arange, (5, 2, 8, 8))).tolist():
        windows = [(v, u) for v in range(4) for u in range(4) if abs(2 * v - y) <= 1 and abs(2 * u - x) <= 1]
        maxima = [float(maxima_BCHW[image, channel + 1, v, u]) for v, u in windows]
        reach = sum(float(gradient_BCHW[image, channel + 1, v, u]) for v, u in windows)
        value = float(maps_BCHW[image, channel + 1, y, x])
        own = sum(
            float(gradient_BCHW[image, channel + 1, v, u])
            for (v, u), maximum in zip(windows, maxima, strict=True)
            if maximum == value > 0
        )
        after = float(struck_BCHW[image, channel, y, x])
        expected[image, channel, y, x] = abs(own) * (after - value) + abs(reach) * (after - sum(maxima) / len(maxima))
    expected_KM = expected.flatten(1)
    scale_K1 = expected_KM.amax(1, keepdim=True) / found_KM[..., 0].amax(1, keepdim=True)
    torch.testing.assert_close(found_KM[..., 0] * scale_K1, expected_KM, rtol=1e-3, atol=1e-4)


class Rooted(nn.Module):
    """Takes the square root of pooled activations: where they are 0, its derivative is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 3, padding=1), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(functional.max_pool2d(torch.relu(self.conv(x)), 2).sqrt().flatten(1))


def test_where_the_gradient_is_not_finite_the_estimate_is() -> None:
    model = Rooted()
    model.conv.bias.data[:] = torch.tensor([-5.0, 5.0])  # one map is 0 everywhere
    sensitivity = gradients(model).of(X_NCHW, LABELS_N)["conv"]
    assert not sensitivity.gradient_KN.isfinite().all()  # type: ignore[attr-defined]
    found_KM = sensitivity.loss_change(places(128), torch.full((5, 128, 1), 50.0))[..., 0]
    assert found_KM.isfinite().all()
    assert (found_KM[:, 64:] > 0).any(dim=1).all()


class PooledTokens(nn.Module):
    """Pools a map without an axis of channels, as of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.fc = nn.Linear(8, 8), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(functional.max_pool2d(torch.relu(self.first(x[:, 0])), 2).flatten(1))


def test_maps_without_channels_are_pooled_alike() -> None:
    found = gradients(PooledTokens()).of(X_NCHW, LABELS_N)["first"]
    found_KM = found.loss_change(places(64), torch.full((5, 64, 1), 5.0))[..., 0]
    assert (found_KM > 0).all()
    pool = found.pool  # type: ignore[attr-defined]
    assert (pool.maximum_KN.view(5, 4, 2, 4, 2) == pool.maximum_KN.view(5, 4, 2, 4, 2)[:, :, :1, :, :1]).all()


def test_batch_norm_sums_and_clipped_activations_are_followed_exactly() -> None:
    model = joined()
    source = gradients(model)
    sensitivity = source.of(X_NCHW, LABELS_N)["conv"]
    changes_Q = torch.tensor([-30.0, -3.0, -0.5, 0.5, 3.0, 30.0])
    with torch.no_grad():
        inner_KM = (model.norm(model.conv(X_NCHW)) + X_NCHW[:, :, :1, :1]).flatten(1)
        act_KM = model.act(inner_KM)
        slope_M = model.norm.weight / (model.norm.running_var + model.norm.eps).sqrt()
        moved_KMQ = model.act(inner_KM[..., None] + slope_M[:, None] * changes_Q) - act_KM[..., None]
    act_KM.requires_grad_()
    z_KE = model.twice(act_KM)
    logits_KC = model.head(z_KE / z_KE.norm(dim=1, keepdim=True)) * 10
    (gradient_KM,) = torch.autograd.grad(losses(source.network, logits_KC).sum(), act_KM)
    expected_KMQ = (gradient_KM / gradient_KM.abs().amax(1, keepdim=True))[..., None] * moved_KMQ
    found_KMQ = sensitivity.loss_change(places(2), changes_Q.expand(5, 2, -1))
    torch.testing.assert_close(found_KMQ, expected_KMQ.abs(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("model", "site", "neurons"), [(toy_net(), "fc", 3), (joined(), "head", 3)])
def test_at_the_logits_the_estimate_is_exact_for_any_change(model: nn.Module, site: str, neurons: int) -> None:
    source = gradients(model)
    sensitivity = source.of(X_NCHW, LABELS_N)[site]
    for change in (-100.0, -1.0, 1e-3, 5.0, 100.0):
        found_KMQ = sensitivity.loss_change(places(neurons), torch.full((5, neurons, 1), change))
        for element in range(neurons):
            true_K = true_change(source.network, site, element, change).abs()
            torch.testing.assert_close(found_KMQ[:, element, 0], true_K, rtol=1e-4, atol=2e-5)


def test_fewer_images_than_a_batch_and_a_smaller_memory_do_not_move_an_estimate() -> None:
    model = toy_net()
    network = Network.capture(model, (1, 8, 8), batch_size=8)
    # floats of conv1, relu, pool, conv2, relu, pool, flatten, fc: 256, 256, 64, 96, 96, 24, 24 and 3; twice
    assert bytes_per_image(network) == 2 * 4 * (256 + 256 + 64 + 96 + 96 + 24 + 24 + 3)
    assert Gradients.capture(model, network, memory=10**9).network is network
    small = Gradients.capture(model, network, memory=2 * (CAPTURING + 3 * bytes_per_image(network)))
    assert small.images_at_once == 3
    assert small.network is network
    whole = Gradients(network).of(X_NCHW, LABELS_N)
    for name, sensitivity in small.of(X_NCHW[:2], LABELS_N[:2]).items():
        place_KM = places(3, 2)
        torch.testing.assert_close(sensitivity.values_KN, whole[name].values_KN[:2])
        change_KMQ = torch.ones(2, 3, 1)
        found_KMQ = sensitivity.loss_change(place_KM, change_KMQ)
        torch.testing.assert_close(found_KMQ, whole[name].loss_change(places(3), torch.ones(5, 3, 1))[:2])


class WithToken(nn.Module):
    """A token, expanded to the batch, goes beside the patches: the graph runs only at the batch size of its capture."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.patches, self.head = nn.Conv2d(1, 4, 4, 4), nn.Linear(4, 3)
        self.token = nn.Parameter(torch.rand(1, 1, 4))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        tokens_BTE = self.patches(x_BCHW).flatten(2).transpose(1, 2)
        return self.head(torch.cat([self.token.repeat(len(x_BCHW), 1, 1), tokens_BTE], 1).relu().sum(1))


def test_a_network_that_runs_at_one_batch_size_is_captured_again() -> None:
    model = WithToken().eval()
    network = Network.capture(model, (1, 8, 8), batch_size=4)
    small = Gradients.capture(model, network, memory=2 * (CAPTURING + 2 * bytes_per_image(network)))
    assert (small.images_at_once, small.network.batch_size) == (2, 2)
    whole = Gradients(network).of(X_NCHW[:4], LABELS_N[:4])
    for name, sensitivity in small.of(X_NCHW[:2], LABELS_N[:2]).items():
        torch.testing.assert_close(sensitivity.values_KN, whole[name].values_KN[:2])
        found, expected = (
            s.loss_change(places(3, n), torch.ones(n, 3, 1)) for s, n in ((sensitivity, 2), (whole[name], 4))
        )
        torch.testing.assert_close(found, expected[:2])


def test_the_model_and_the_surroundings_are_left_as_they_were() -> None:
    model = toy_net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    with torch.no_grad():
        gradients(model).of(X_NCHW, LABELS_N)
        assert not torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Stepped(nn.Module):
    """Logits that are not a differentiable function of its convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones_like(x[:, 0, :3, 0]) * (self.conv(x).flatten(1) > 0).float()


def test_a_model_without_gradients_is_refused_with_what_to_use_instead() -> None:
    source = gradients(Stepped())
    with pytest.raises(TgrError, match=r"importance sampling needs gradients, .* does not give .*--sampling uniform$"):
        source.of(X_NCHW, LABELS_N)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    with pytest.raises(TgrError, match=r"needs the model's graph, .*; use --sampling uniform$"):
        Gradients.capture(Stepped(), object(), memory=1)  # type: ignore[arg-type]


class Shared(nn.Module):
    """The network of a bias table, which does not depend on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 8)
        self.table = nn.Linear(4, 2)
        self.fc = nn.Linear(2, 3)
        self.register_buffer("place", torch.ones(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.conv(x).flatten(1)) + torch.relu(self.table(self.place)))


def test_a_site_that_all_images_share_has_the_same_estimate_for_each() -> None:
    torch.manual_seed(0)
    sensitivity = gradients(Shared()).of(X_NCHW[:3], LABELS_N[:3])["table"]
    assert sensitivity.values_KN.shape == (1, 2)
    found_KMQ = sensitivity.loss_change(places(2, 3), torch.full((3, 2, 1), 5.0))
    assert found_KMQ.shape == (3, 2, 1)
    assert (found_KMQ == found_KMQ[:1]).all()
    assert found_KMQ.max() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_leans_as_full_does(dtype: torch.dtype) -> None:
    half, full = (gradients(model).of(X_NCHW, LABELS_N) for model in (toy_net().to(dtype), toy_net()))
    for name, sensitivity in half.items():
        place_KM = places(sensitivity.values_KN.shape[1])
        change_KMQ = torch.ones(*place_KM.shape, 1)
        found_KMQ, expected_KMQ = (side[name].loss_change(place_KM, change_KMQ) for side in (half, full))
        assert sensitivity.values_KN.dtype == dtype
        assert found_KMQ.dtype == torch.float32
        close_KMQ = (found_KMQ - expected_KMQ).abs() < 0.05
        assert close_KMQ.float().mean() > 0.9  # rounding may change which neuron is the maximum
