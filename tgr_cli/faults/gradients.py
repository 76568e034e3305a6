"""What a backward pass tells before any fault is injected: each neuron's golden value, and how the loss leans on it.

Suffixes: K images, B batch, C channels, H W height and width, N neurons of one image's share.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tgr_cli.errors import TgrError
from tgr_cli.faults.calls import Call
from tgr_cli.faults.engines.engine import padded
from tgr_cli.faults.graph import Network


class Leaning(NamedTuple):
    """A site's golden values and the gradient of each image's loss with respect to them, [K, N] each.

    Where the site is not per image there is one row, and the gradient is that of the images' summed loss. What is not
    finite in a gradient is 0.
    """

    values: Tensor
    gradient: Tensor


class Gradients:
    """Golden values and gradients of the cross entropy at every site of a network, for some images at a time.

    The model's parameters take no part: none requires or receives a gradient.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    @classmethod
    def capture(cls, model: nn.Module, network: Network, *, memory: int) -> "Gradients":
        """Return the gradients at the sites of `network`, `model` captured again for as many images as fit `memory`.

        A backward pass needs every value of the forward pass, so it takes smaller batches than an injection.
        """
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
        """Return values and gradients of every site, by its name, for at most `images_at_once` images.

        Raises TgrError for a model that gives no gradient.
        """
        network, outputs = self.network, dict[Call, Tensor]()

        def watch(call: Call, value: Tensor) -> Tensor:
            if value.is_floating_point() and not value.requires_grad:
                value = value.detach().requires_grad_()
            outputs[call] = value
            return value

        try:
            with torch.enable_grad():
                logits_BC = network.run(padded(x_KCHW, network.batch_size), watch, gradients=True)
                loss = functional.cross_entropy(
                    logits_BC[: len(x_KCHW)].float(), labels_K.to(logits_BC.device), reduction="sum"
                )
            gradients = torch.autograd.grad(loss, list(outputs.values()), allow_unused=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # whatever an operation without a derivative raises
            words = " ".join(str(error).split())[:200]
            raise TgrError(
                f"importance sampling needs gradients, which this model does not give ({words}); use --sampling uniform"
            ) from error
        return {
            call.site.name: self._leaning(call, value.detach(), gradient, len(x_KCHW))
            for (call, value), gradient in zip(outputs.items(), gradients, strict=True)
        }

    def _leaning(self, call: Call, value: Tensor, gradient: Tensor | None, count: int) -> Leaning:
        if gradient is None:
            gradient = torch.zeros_like(value)
        rows = (self.network.shares(call, part)[:count] for part in (value, gradient))
        values_KN, gradient_KN = rows
        return Leaning(values_KN, gradient_KN.nan_to_num(0.0, 0.0, 0.0))


def bytes_per_image(network: Network) -> int:
    """Return about how much memory a backward pass takes an image: all its values, and as much again for gradients."""
    sizes = [_bytes(node.meta["val"]) for node in network.graph.nodes if node.op == "call_function"]
    return max(1, 2 * sum(sizes) // network.batch_size)


def _bytes(value: object) -> int:
    if isinstance(value, Sequence):
        return sum(map(_bytes, value))
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0
