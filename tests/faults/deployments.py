"""Networks deployed in a number format, the ranges of their outputs, and faults in them."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from toys import toy_net

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.deploying import deployment_of
from tgr_cli.faults.engines import FaultBatch
from tgr_cli.faults.formats import Format, format_named
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.network import AnyNetwork

from .awkward import awkward
from .engines.test_parameter_faults import vit
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


def faults(network: AnyNetwork, count: int, target: str = "neuron") -> list[FaultBatch]:
    generator = torch.Generator().manual_seed(2)
    return [
        FaultBatch(site, *(torch.randint(0, bound, (count,), generator=generator) for bound in (8, site.neurons, 32)))
        for site in network.sites_of(target)
    ]
