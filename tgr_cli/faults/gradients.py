"""Estimates the effect of faults from one golden run and one backward pass: the `Sensitivity` of each site.

Suffixes: K images, B batch, C channels or classes, H W height and width, N neurons of one image's share.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx.node import Node
from torch.nn import functional

from tgr_cli.errors import TgrError
from tgr_cli.faults import batch_sizes
from tgr_cli.faults.differentiable import differentiable
from tgr_cli.faults.engines.engine import padded
from tgr_cli.faults.engines.memory import CAPTURING
from tgr_cli.faults.graph import Network
from tgr_cli.faults.graph_sites import Call
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.program import evaluate
from tgr_cli.faults.routes import Route, composed, route_from, window_of
from tgr_cli.faults.sensitivity import ActivationSensitivity, LogitSensitivity, Pool, Sensitivity


def graph_of(network: AnyNetwork) -> Network:
    """Return the network as a graph, on which gradients can be taken; raises TgrError for a hooked network."""
    if not isinstance(network, Network):
        raise TgrError(
            "importance sampling needs the model's graph, and torch.export cannot trace the model; "
            "use --sampling uniform"
        )
    return network


class Gradients:
    """The sensitivity of the cross entropy to every site of a network, for a batch of images.

    Gradients are taken with respect to activations only; the model's own tensors never require a gradient.
    """

    def __init__(self, network: Network, images_at_once: int | None = None) -> None:
        """Take gradients of `images_at_once` images in one pass (None: a batch), which must suit the network."""
        self.network = network
        self.images_at_once = images_at_once or network.batch_size
        self._sizes: dict[Node, list[int]] = {}
        if self.images_at_once != network.batch_size:
            reshaping = _reshaping(network)
            assert reshaping is not None, "this network runs for whole batches only"
            self._sizes = batch_sizes.sizes(network, reshaping, self.images_at_once)
        self._routes = {call: route_from(call.node, network.division.dependent) for call in network.calls.values()}
        self._slopes: dict[Call, Tensor] = {}
        self._instead = differentiable([node for node, _ in network.program], {network.input})

    @classmethod
    def capture(cls, model: nn.Module, network: AnyNetwork, *, memory: int) -> "Gradients":
        """Return the gradients at the sites of `network`, for the largest number of images that fits `memory`.

        A backward pass keeps every activation, so it needs smaller batches than injection does. A network that runs
        only at its own batch size is captured again at the smaller one. The budget also reserves two graphs, and as
        much again for the sampling distribution. Raises TgrError for a network that is not a graph.
        """
        network, deployment = graph_of(network), network.deployment
        batch_size = max(1, min(network.batch_size, (memory - 2 * CAPTURING) // 2 // bytes_per_image(network)))
        if batch_size == network.batch_size or _reshaping(network) is not None:
            return cls(network, batch_size)
        targets = sorted({site.op for site in network.sites})
        network = Network.capture(
            model, network.input_shape, batch_size=batch_size, targets=targets, device=network.device
        )
        return cls(network if deployment is None else network.deployed(deployment))

    def gives_logits(self, site: str) -> bool:
        """Return whether the values of a site are the logits, up to a slope."""
        return any(call.site.name == site and r.inner is self.network.output for call, r in self._routes.items())

    def of(self, x_KCHW: Tensor, labels_K: Tensor) -> dict[str, Sensitivity]:
        """Return the sensitivity of each site by name, for at most `images_at_once` images.

        Raises TgrError for a model that is not differentiable.
        """
        with _refusing(), torch.enable_grad():
            seen, loss = self._forward(x_KCHW, labels_K)
            if not self._slopes:
                self._slopes = {call: self._slope(seen, call, route) for call, route in self._routes.items()}
            ends = {node: seen[node] for route in self._routes.values() for node in (route.end, route.pool) if node}
            found = torch.autograd.grad(loss, list(ends.values()), allow_unused=True)
        gradients = {
            node: torch.zeros_like(seen[node]) if gradient is None else gradient
            for node, gradient in zip(ends, found, strict=True)
        }
        count, labels_K = len(x_KCHW), labels_K.to(self.network.device)

        def rows(call: Call, value: Tensor) -> Tensor:
            return self.network.shares(call, value.detach())[:count]

        sensitivities: dict[str, Sensitivity] = {}
        pools: dict[Node, tuple[Tensor, Tensor]] = {}
        for call, route in self._routes.items():
            values_KN, inner_KN = rows(call, seen[call.node]), rows(call, seen[route.inner])
            if route.inner is self.network.output:
                sensitivities[call.site.name] = LogitSensitivity(values_KN, inner_KN, self._slopes[call], labels_K)
                continue
            pool = None
            if route.pool is not None:
                if route.pool not in pools:  # computed once: concatenated maps share one pool
                    pools[route.pool] = _competition(route, seen, gradients[route.pool])
                pool = Pool(*(rows(call, _own(route, value)) for value in pools[route.pool]))
            gradient_KN, curve = rows(call, gradients[route.end]), composed(route.curves)
            sensitivities[call.site.name] = ActivationSensitivity(
                values_KN, inner_KN, self._slopes[call], gradient_KN, curve, pool
            )
        return sensitivities

    def _forward(self, x_KCHW: Tensor, labels_K: Tensor) -> tuple[dict[Node, Tensor], Tensor]:
        """Return the values of the sites and of their routes' nodes, and the loss summed over the images."""
        network, seen = self.network, dict[Node, Tensor]()
        wanted = {node for route in self._routes.values() for node in route.nodes}

        def look(node: Node, value: Any) -> Any:
            if node in network.calls and value.is_floating_point() and not value.requires_grad:
                value = value.detach().requires_grad_()
            if node in network.calls or node in wanted:
                seen[node] = value
            return value

        loss = self._loss(network.constants, x_KCHW, labels_K, look, self._instead)
        return seen, loss

    def of_tensors(self, batches: Iterable[tuple[Tensor, Tensor]], places: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum over batches of the absolute gradient of the loss at given elements of the model's tensors.

        `batches` yields at most `images_at_once` images with their labels. `places` maps a tensor's name to flat
        indices, of any shape; the result has the same shapes (float32). Raises TgrError for a model that is not
        differentiable.
        """
        network = self.network
        leaves = {name: _leaf(network.parameters[name]) for name in places}
        standing = network.standing(leaves)
        constants = {**network.constants, **standing}
        instead = differentiable([node for node, _ in network.program], {network.input, *standing})
        totals = {name: torch.zeros(place.shape, device=network.device) for name, place in places.items()}
        for x_KCHW, labels_K in batches:
            with _refusing(), torch.enable_grad():
                loss = self._loss(constants, x_KCHW, labels_K, instead=instead)
                found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
            for (name, place), gradient in zip(places.items(), found, strict=True):
                if gradient is not None:
                    totals[name] += gradient.reshape(-1)[place].float().abs().nan_to_num(0.0, 0.0, 0.0)
        return totals

    def _loss(
        self,
        constants: Mapping[Node, Any],
        x_KCHW: Tensor,
        labels_K: Tensor,
        touch: Callable[[Node, Any], Any] | None = None,
        instead: Mapping[Node, Callable[..., Any]] | None = None,
    ) -> Tensor:
        x_BCHW = padded(x_KCHW, self.images_at_once).to(self.network.device, self.network.dtype)
        values = {**constants, self.network.input: x_BCHW}
        evaluate(self.network.program, values, touch, self._sizes, gradients=True, instead=instead)
        logits_KC = values[self.network.output][: len(x_KCHW)].float()
        return functional.cross_entropy(logits_KC, labels_K.to(logits_KC.device), reduction="sum")

    def _slope(self, seen: dict[Node, Tensor], call: Call, route: Route) -> Tensor:
        """Return d(end of route) / d(neuron) for every neuron, [1, N]; it is the same for all images."""
        value, inner = seen[call.node], seen[route.inner]
        if inner is value:
            return torch.ones((), device=value.device, dtype=value.dtype).expand(1, call.site.neurons)
        # An elementwise map has a diagonal Jacobian, so the gradient of the sum is that diagonal.
        (slope,) = torch.autograd.grad(inner.sum(), [value], retain_graph=True)
        return self.network.shares(call, slope)[:1].nan_to_num(0.0, 0.0, 0.0)


def _reshaping(network: Network) -> tuple[Node, ...] | None:
    """Return the operations of the whole network that name the batch size; None if it runs only at its own."""
    nodes = [*(node for node, _ in network.program), *network.constants]
    return batch_sizes.reshaping(network, nodes, [network.input])


def _leaf(tensor: Tensor) -> Tensor:
    """Return a tensor's values as a leaf for gradients; integers, which cannot carry one, in float32."""
    return (tensor.detach() if tensor.is_floating_point() else tensor.float()).requires_grad_()


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # raised by operations without a derivative
        words = " ".join(str(error).split())[:200]
        raise TgrError(
            f"importance sampling needs gradients, which this model does not give ({words}); use --sampling uniform"
        ) from error


def bytes_per_image(network: Network) -> int:
    """Return the approximate memory of a backward pass per image: all activations, and as much for gradients."""
    sizes = [_bytes(node.meta["val"]) for node in network.graph.nodes if node.op == "call_function"]
    return max(1, 2 * sum(sizes) // network.batch_size)


def _bytes(value: object) -> int:
    if isinstance(value, Sequence):
        return sum(map(_bytes, value))
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0


def _competition(route: Route, seen: Mapping[Node, Tensor], gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for each neuron that a pool reads, the mean maximum and the summed gradient over its windows."""
    assert route.pool is not None
    kernel, stride, padding, _, ceil_mode = window_of(route.pool)
    map_BCHW, maxima_BCHW = seen[route.joined or route.end].detach(), seen[route.pool].detach()

    def summed(of_window: Tensor, like: Tensor) -> Tensor:
        """Return the sum over the windows that contain each neuron of a map with the shape and layout of `like`.

        It is the derivative of the sum over each window, an average pool with the divisor 1.
        """
        return torch.ops.aten.avg_pool2d_backward(of_window, like, kernel, stride, padding, ceil_mode, True, 1)

    one = (slice(1),) * (map_BCHW.ndim - 2)  # the windows are the same in every map
    windows_HW = summed(torch.ones_like(maxima_BCHW[one]), map_BCHW[one])
    maxima = summed(maxima_BCHW, map_BCHW).div_(windows_HW.clamp_min_(1))
    return maxima, summed(gradient.nan_to_num(0.0, 0.0, 0.0), map_BCHW)


def _own(route: Route, joined: Tensor) -> Tensor:
    """Return the part of a concatenated map that belongs to this route."""
    if route.joined is None:
        return joined
    maps, axis = cast(tuple[list[Node], int], (*route.joined.args, 0)[:2])
    sizes = [one.meta["val"].shape[axis] for one in maps]
    place = maps.index(route.end)
    return joined.narrow(axis, sum(sizes[:place]), sizes[place])
