"""What a golden run and a backward pass tell of faults before any is injected: values, and what changing them would do.

The loss is followed exactly from a neuron through what acts on it alone (a batch norm, a sum, the activation
function), and linearly from there on. A gradient at the neuron itself would be 0 wherever a ReLU is shut, though the
fault may well open it. At the logits the change of the loss is exact.

Suffixes: K images, B batch, C channels or classes, H W height and width, N neurons of one image's share, M some of
these, Q changes of each.
"""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.node import Node
from torch.nn import functional

from tgr_cli.errors import TgrError
from tgr_cli.faults.calls import Call
from tgr_cli.faults.engines.engine import padded
from tgr_cli.faults.graph import Network, evaluate, with_deaths

NORM = "_native_batch_norm_legit_no_training"
AFFINE = (
    *(NORM, "getitem", "add", "sub", "mul", "div", "dropout", "clone", "alias", "_to_copy"),
    *("view", "_unsafe_view", "reshape"),
)
CURVES = (
    *("relu", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "elu", "sigmoid", "tanh", "silu", "gelu"),
    *("softplus", "mish", "clamp", "clamp_min"),
)


@dataclass(frozen=True)
class Leaning(ABC):
    """A site's golden values [K, N] for some images, in the model's format; one row where all images share them."""

    values_KN: Tensor

    @abstractmethod
    def loss_change(self, place_KM: Tensor, change_KMQ: Tensor) -> Tensor:
        """Return by how much the loss of each image would change, [K, M, Q], were one of its neurons changed.

        `place_KM` are elements of the site, `change_KMQ` the changes (float32), each on its own. Each row is in a unit
        of its own: what a gradient makes of a sure prediction is next to nothing.
        """

    def at(self, place_KM: Tensor) -> Tensor:
        """Return the golden values of some elements, [K, M]."""
        return _gathered(self.values_KN, place_KM)


@dataclass(frozen=True)
class Bent(Leaning):
    """A site followed to the other side of an activation function, where the gradient of the loss is taken.

    The function's argument is `inner_KN` and grows with the neuron at the rate of `slope_1N`.
    """

    inner_KN: Tensor
    slope_1N: Tensor
    gradient_KN: Tensor
    curve: Callable[[Tensor], Tensor] | None

    def loss_change(self, place_KM: Tensor, change_KMQ: Tensor) -> Tensor:
        slope_KM = _gathered(self.slope_1N, place_KM).float()
        gradient_KM = _gathered(self.gradient_KN, place_KM).float()
        largest_K1 = gradient_KM.abs().amax(dim=1, keepdim=True)
        gradient_KM = (gradient_KM / largest_K1).nan_to_num(0.0)
        moved_KMQ = change_KMQ * slope_KM[..., None]
        if self.curve is not None:
            inner_KM1 = _gathered(self.inner_KN, place_KM).float()[..., None]
            moved_KMQ = self.curve(moved_KMQ.add_(inner_KM1)).sub_(self.curve(inner_KM1))
        return moved_KMQ.mul_(gradient_KM[..., None]).abs_()


@dataclass(frozen=True)
class Logits(Leaning):
    """A site whose values are the logits, each times its `slope_1N`; the loss of any change to one is known."""

    logits_KC: Tensor
    slope_1N: Tensor
    labels_K: Tensor

    def loss_change(self, place_KM: Tensor, change_KMQ: Tensor) -> Tensor:
        logits_KC, highest_K1 = self.logits_KC.double(), self.logits_KC.argmax(dim=1, keepdim=True)
        whole_K1 = logits_KC.logsumexp(dim=1, keepdim=True)
        share_KC = (logits_KC - whole_K1).exp()
        # The others of the highest logit may be too small to show in 1 - its share: they are added up.
        others_KC = whole_K1 + torch.log1p(-share_KC.scatter(1, highest_K1, 0))
        rest_K1 = logits_KC.scatter(1, highest_K1, -torch.inf).logsumexp(dim=1, keepdim=True)
        others_KC = others_KC.scatter(1, highest_K1, rest_K1)
        moved_KMQ = change_KMQ.double() * _gathered(self.slope_1N, place_KM).double()[..., None]
        logit_KM, others_KM = _gathered(logits_KC, place_KM), _gathered(others_KC, place_KM)
        grown_KMQ = torch.logaddexp(others_KM[..., None], logit_KM[..., None] + moved_KMQ) - whole_K1[..., None]
        own_KM1 = (place_KM == self.labels_K[:, None])[..., None]
        return (grown_KMQ - moved_KMQ * own_KM1).abs_().float()


@dataclass(frozen=True)
class Route:
    """What acts on a site's neurons one by one: all up to the node `inner`, then the function `curve`, if any."""

    inner: Node
    curve: Node | None


class Gradients:
    """How the cross entropy leans on every site of a network, for some images at a time.

    The model's parameters take no part: none requires or receives a gradient.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        dependent = network.downstream({network.input})
        self._routes = {call: _route(call.node, dependent) for call in network.calls.values()}
        self._slopes: dict[Call, Tensor] = {}
        nodes = [node for node in network.graph.nodes if node.op == "call_function"]
        self._program = with_deaths(nodes, {network.output})

    @classmethod
    def capture(cls, model: nn.Module, network: Network, *, memory: int) -> "Gradients":
        """Return the gradients at the sites of `network`, `model` captured again for as many images as fit `memory`.

        A backward pass needs every value of the forward pass, so it takes smaller batches than an injection. Raises
        TgrError for a network that is no graph.
        """
        if not isinstance(network, Network):
            raise TgrError(
                "importance sampling needs the model as a graph, which torch.export cannot make of it; "
                "use --sampling uniform"
            )
        batch_size = max(1, min(network.batch_size, memory // bytes_per_image(network)))
        if batch_size < network.batch_size:
            targets = sorted({site.op for site in network.sites})
            network = Network.capture(
                model, network.input_shape, batch_size=batch_size, targets=targets, device=network.device
            )
        return cls(network)

    @property
    def images_at_once(self) -> int:
        return self.network.batch_size

    def of(self, x_KCHW: Tensor, labels_K: Tensor) -> dict[str, Leaning]:
        """Return how the loss leans on each site, by its name, for at most `images_at_once` images.

        Raises TgrError for a model that gives no gradient.
        """
        try:
            with torch.enable_grad():
                seen, loss = self._forward(x_KCHW, labels_K)
            if not self._slopes:
                self._slopes = {call: self._slope(seen, call, route) for call, route in self._routes.items()}
            ends = [seen[route.curve or route.inner] for route in self._routes.values()]
            gradients = torch.autograd.grad(loss, ends, allow_unused=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # whatever an operation without a derivative raises
            words = " ".join(str(error).split())[:200]
            raise TgrError(
                f"importance sampling needs gradients, which this model does not give ({words}); use --sampling uniform"
            ) from error
        count, labels_K = len(x_KCHW), labels_K.to(self.network.device)
        found: dict[str, Leaning] = {}
        for (call, route), gradient in zip(self._routes.items(), gradients, strict=True):
            values, inner = seen[call.node].detach(), seen[route.inner].detach()
            values_KN, inner_KN = (self.network.shares(call, part)[:count] for part in (values, inner))
            slope_1N = self._slopes[call]
            if route.inner is self.network.output:
                found[call.site.name] = Logits(values_KN, inner_KN, slope_1N, labels_K)
                continue
            gradient = torch.zeros_like(values) if gradient is None else gradient.nan_to_num(0.0, 0.0, 0.0)
            gradient_KN = self.network.shares(call, gradient)[:count]
            found[call.site.name] = Bent(values_KN, inner_KN, slope_1N, gradient_KN, _function(route.curve))
        return found

    def _forward(self, x_KCHW: Tensor, labels_K: Tensor) -> tuple[dict[Node, Tensor], Tensor]:
        """Return the values of sites and at the ends of their routes, and the images' summed loss."""
        network, seen = self.network, dict[Node, Tensor]()
        wanted = {node for route in self._routes.values() for node in (route.inner, route.curve)}

        def look(node: Node, value: Any) -> Any:
            if node in network.calls and value.is_floating_point() and not value.requires_grad:
                value = value.detach().requires_grad_()
            if node in network.calls or node in wanted:
                seen[node] = value
            return value

        x_BCHW = padded(x_KCHW, network.batch_size).to(network.device, network.dtype)
        values = evaluate(self._program, {**network.constants, network.input: x_BCHW}, look, gradients=True)
        logits_KC = values[network.output][: len(x_KCHW)].float()
        loss = functional.cross_entropy(logits_KC, labels_K.to(logits_KC.device), reduction="sum")
        return seen, loss

    def _slope(self, seen: dict[Node, Tensor], call: Call, route: Route) -> Tensor:
        """Return the rate at which each neuron moves the end of its route, [1, N]: no image changes it."""
        value, inner = seen[call.node], seen[route.inner]
        if inner is value:
            return torch.ones((), device=value.device, dtype=value.dtype).expand(1, call.site.neurons)
        # What acts on each neuron alone has a diagonal derivative, so its sums are the derivative itself.
        (slope,) = torch.autograd.grad(inner.sum(), [value], retain_graph=True)
        return self.network.shares(call, slope)[:1].nan_to_num(0.0, 0.0, 0.0)


def bytes_per_image(network: Network) -> int:
    """Return about how much memory a backward pass takes an image: all its values, and as much again for gradients."""
    sizes = [_bytes(node.meta["val"]) for node in network.graph.nodes if node.op == "call_function"]
    return max(1, 2 * sum(sizes) // network.batch_size)


def _bytes(value: object) -> int:
    if isinstance(value, Sequence):
        return sum(map(_bytes, value))
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0


def _route(start: Node, dependent: Collection[Node]) -> Route:
    """Return how far the neurons of a site stay apart from one another: as long as one operation alone reads them.

    A factor that depends on the images (one of `dependent`) ends it.
    """
    inner = node = start
    while len(node.users) == 1:
        (user,) = node.users
        name = "getitem" if user.target is operator.getitem else str(getattr(user.target, "_opname", ""))
        value: Any = user.meta.get("val")
        if name == NORM:
            value = value[0]
        same = isinstance(value, Tensor) and value.numel() == start.meta["val"].numel()
        if name in CURVES and same and user.all_input_nodes == [node]:
            return Route(inner, user)
        factors = [other for other in user.all_input_nodes if other is not node] if name in ("mul", "div") else []
        if not same or name not in AFFINE or any(other in dependent for other in factors):
            break
        if name == "div" and user.args[0] is not node:
            break
        node = user
        inner = inner if name == NORM else node
    return Route(inner, None)


def _function(curve: Node | None) -> Callable[[Tensor], Tensor] | None:
    if curve is None:
        return None
    return lambda x: curve.target(x, *curve.args[1:], **curve.kwargs)  # type: ignore[operator]


def _gathered(rows_KN: Tensor, place_KM: Tensor) -> Tensor:
    return rows_KN.expand(len(place_KM), -1).gather(1, place_KM)
