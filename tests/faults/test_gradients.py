"""Values and gradients at every site, against autograd on the model itself."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.gradients import Gradients, bytes_per_image
from tgr_cli.faults.graph import Network

X_NCHW = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS_N = torch.tensor([0, 1, 2, 0, 1])


def gradients(model: nn.Module, batch_size: int = 5) -> Gradients:
    return Gradients(Network.capture(model, (1, 8, 8), batch_size=batch_size))


def by_hooks(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    outputs: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda *a, name=name: outputs.setdefault(name, a[2]))
    loss = functional.cross_entropy(model(x_NCHW), labels_N, reduction="sum")
    found = torch.autograd.grad(loss, list(outputs.values()))
    return {n: (y.detach().flatten(1), g.flatten(1)) for (n, y), g in zip(outputs.items(), found, strict=True)}


@pytest.mark.parametrize("count", [5, 3])
def test_each_images_gradient_is_that_of_its_own_loss(count: int) -> None:
    model = toy_net()
    model.relu.inplace = False  # the check reads the convolutions' outputs afterwards
    expected = by_hooks(model, X_NCHW[:count], LABELS_N[:count])
    found = gradients(toy_net()).of(X_NCHW[:count], LABELS_N[:count])
    assert list(found) == ["conv1", "conv2", "fc"]
    for name, (values_KN, gradient_KN) in expected.items():
        torch.testing.assert_close(found[name].values, values_KN)
        torch.testing.assert_close(found[name].gradient, gradient_KN)
        assert not found[name].values.requires_grad


def test_the_model_is_left_as_it_was() -> None:
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
    """A network whose logits do not follow its convolution smoothly."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones_like(x[:, 0, :3, 0]) * (self.conv(x).flatten(1) > 0).float()


def test_a_model_without_gradients_is_refused_with_what_to_use_instead() -> None:
    source = gradients(Stepped().eval())
    with pytest.raises(TgrError, match=r"importance sampling needs gradients, .* does not give .*--sampling uniform$"):
        source.of(X_NCHW, LABELS_N)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


class Shared(nn.Module):
    """A bias table's network, which does not depend on the image; a branch that leads nowhere; half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 8)
        self.table = nn.Linear(4, 2)
        self.fc = nn.Linear(2, 3)
        self.register_buffer("place", torch.ones(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(1) + self.table(self.place))


def test_a_site_that_all_images_share_has_one_row_with_the_summed_gradient() -> None:
    torch.manual_seed(0)
    found = gradients(Shared().eval()).of(X_NCHW[:3], LABELS_N[:3])
    assert found["table"].values.shape == found["table"].gradient.shape == (1, 2)
    torch.testing.assert_close(found["table"].gradient[0], found["conv"].gradient.sum(dim=0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_has_finite_gradients(dtype: torch.dtype) -> None:
    found = gradients(toy_net().to(dtype)).of(X_NCHW, LABELS_N)
    full = gradients(toy_net()).of(X_NCHW, LABELS_N)
    for name, (values_KN, gradient_KN) in found.items():
        assert values_KN.dtype == dtype
        torch.testing.assert_close(gradient_KN.float(), full[name].gradient, rtol=0.1, atol=0.02)


def test_a_small_memory_captures_the_model_again_for_fewer_images(monkeypatch: Any) -> None:
    model = toy_net()
    network = Network.capture(model, (1, 8, 8), batch_size=8)
    # conv1, relu, pool, conv2, relu, pool, flatten, fc: 256, 256, 64, 96, 96, 24, 24 and 3 floats; twice
    assert bytes_per_image(network) == 2 * 4 * (256 + 256 + 64 + 96 + 96 + 24 + 24 + 3)
    assert Gradients.capture(model, network, memory=10**6).network is network
    small = Gradients.capture(model, network, memory=3 * bytes_per_image(network) + 1)
    assert small.images_at_once == 3
    whole = Gradients(network).of(X_NCHW[:3], LABELS_N[:3])
    for name, leaning in small.of(X_NCHW[:3], LABELS_N[:3]).items():
        torch.testing.assert_close(leaning, whole[name])
    assert Gradients.capture(model, network, memory=1).images_at_once == 1
