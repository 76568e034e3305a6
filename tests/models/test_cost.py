import pytest
import torch
from torch import nn

from tgr_cli.faults.graph import Network
from tgr_cli.faults.hooked import HookedNetwork
from tgr_cli.models import zoo
from tgr_cli.models.classifier import TextGuidedClassifier
from tgr_cli.models.cost import macs, widest_bytes


@pytest.mark.parametrize("name", ["resnet20"])
def test_macs_are_the_sum_over_the_sites_that_faults_strike(name: str) -> None:
    shape = zoo.default_preprocessing(name).input_shape
    network = HookedNetwork(zoo.build(name, 10).eval(), shape)  # its sites are the graph's, and seen much sooner
    with torch.device("meta"):
        model = zoo.build(name, 10).eval()
    assert macs(model, shape) == sum(site.macs for site in network.sites)


def test_macs_of_attention_count_its_linear_layers_and_not_its_products() -> None:
    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            x_BTE = x_BCHW.flatten(2).transpose(1, 2)
            return self.attention(x_BTE, x_BTE, x_BTE, need_weights=False)[0].mean(1)

    shape = (8, 2, 2)
    network = Network.capture(TextGuidedClassifier(Attention(), 3, 8).eval(), shape, batch_size=2)
    with torch.device("meta"):
        model = TextGuidedClassifier(Attention(), 3, 8).eval()
    expected = 4 * 8 * 24 + 4 * 8 * 8 + 8 * 3  # four tokens through in_proj and out_proj, then the head
    assert macs(model, shape) == expected == sum(site.macs for site in network.sites)


def test_the_widest_layer_counts_what_goes_in_and_what_comes_out() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 8 * 8, 10))
    assert widest_bytes(model, (3, 8, 8)) == 4 * (4 * 8 * 8 + 4 * 8 * 8)  # the widest is Flatten, without MACs
    assert widest_bytes(model.half(), (3, 8, 8)) == 2 * (4 * 8 * 8 + 4 * 8 * 8)
    assert not any(part._forward_hooks for part in model.modules())
