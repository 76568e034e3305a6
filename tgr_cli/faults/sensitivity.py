"""How the loss leans on a site: an estimate of what changing one of its neurons would do.

The loss is followed exactly from a neuron through what acts on it alone (a batch norm, a sum, the activation function),
and linearly from there on. A gradient at the neuron itself would be 0 wherever a ReLU is shut or another neuron is the
maximum of a pool, though a fault may well open the one and become the other. At the logits the change is exact.

Suffixes: K images, C classes, N neurons of one image's share, M some of these, Q changes of each.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


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
class Pool:
    """Of each neuron: the maxima it competes with, on average, and the sum of the gradients of the loss there."""

    maximum_KN: Tensor
    gradient_KN: Tensor


@dataclass(frozen=True)
class Bent(Leaning):
    """A site followed to the other side of an activation function, where the gradient of the loss is taken.

    The function's argument is `inner_KN` and grows with the neuron at the rate of `slope_1N`. Where a maximum over
    windows follows, `pool` says what becoming the maximum would do.
    """

    inner_KN: Tensor
    slope_1N: Tensor
    gradient_KN: Tensor
    curve: Callable[[Tensor], Tensor] | None
    pool: Pool | None = None

    def loss_change(self, place_KM: Tensor, change_KMQ: Tensor) -> Tensor:
        inner_KM1, slope_KM1, gradient_KM1 = (
            _gathered(x_KN, place_KM).float()[..., None] for x_KN in (self.inner_KN, self.slope_1N, self.gradient_KN)
        )
        moved_KMQ = (change_KMQ * slope_KM1).add_(inner_KM1)
        if self.curve is not None:
            moved_KMQ, inner_KM1 = self.curve(moved_KMQ), self.curve(inner_KM1)
        largest_K11 = gradient_KM1.abs().amax(dim=(1, 2), keepdim=True)
        if self.pool is None:
            scaled_KM1 = (gradient_KM1 / largest_K11).nan_to_num(0.0)
            return moved_KMQ.sub_(inner_KM1).mul_(scaled_KM1).abs_()
        reach_KM1 = _gathered(self.pool.gradient_KN, place_KM).float()[..., None].abs()
        largest_K11 = torch.maximum(largest_K11, reach_KM1.amax(dim=(1, 2), keepdim=True))
        above_KMQ = (moved_KMQ - _gathered(self.pool.maximum_KN, place_KM).float()[..., None]).relu_()
        own_KMQ = moved_KMQ.sub_(inner_KM1).mul_((gradient_KM1 / largest_K11).nan_to_num(0.0)).abs_()
        return own_KMQ.addcmul_(above_KMQ, (reach_KM1 / largest_K11).nan_to_num(0.0))


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


def _gathered(rows_KN: Tensor, place_KM: Tensor) -> Tensor:
    return rows_KN.expand(len(place_KM), -1).gather(1, place_KM)
