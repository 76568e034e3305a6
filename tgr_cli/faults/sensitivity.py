"""The sensitivity of the loss to a site: an estimate of the effect of changing one neuron.

A change is propagated exactly through the elementwise operations after the neuron (batch norm, sum, activation
function), and by a first-order approximation from there on. A gradient at the neuron itself would be 0 wherever a ReLU
is inactive or another neuron is the maximum of a pool, although a fault may activate the one and become the other. At
the logits the change is exact.

Suffixes: K images, C classes, N neurons of one image's share, M selected neurons, Q changes of each.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sensitivity(ABC):
    """Base class; `values_KN` are the site's golden values in the model's dtype, [1, N] if all images share them.

    If `rows_Q` is given, all arguments and results have a row for each of these images, which may be any of the K.
    """

    values_KN: Tensor
    rows_Q: Tensor | None = field(default=None, kw_only=True)

    def of_rows(self, rows_Q: Tensor) -> "Sensitivity":
        """Return the same for these rows, each one of the images."""
        return replace(self, rows_Q=rows_Q)

    @abstractmethod
    def loss_change(self, place_KM: Tensor, change_KMQ: Tensor) -> Tensor:
        """Return the estimated absolute change of each image's loss, [K, M, Q], for each change on its own.

        `place_KM` are elements of the site, `change_KMQ` their changes (float32). Each row has its own arbitrary unit:
        rows are rescaled because the gradients of a confident prediction underflow.
        """

    def at(self, place_KM: Tensor) -> Tensor:
        """Return the golden values of selected elements, [K, M]."""
        return self._gathered(self.values_KN, place_KM)

    def _gathered(self, rows_KN: Tensor, place_QM: Tensor) -> Tensor:
        if self.rows_Q is None or len(rows_KN) == 1:
            return _gathered(rows_KN, place_QM)
        return rows_KN[self.rows_Q[:, None], place_QM]

    def read(self, elements: Tensor) -> Tensor:
        """Return the golden values of elements [K, ...], each row those of its image."""
        return self.at(elements.flatten(1)).view(elements.shape)


@dataclass(frozen=True)
class Pool:
    """For each neuron, the mean maximum of the pool's windows that contain it, and the sum of their gradients."""

    maximum_KN: Tensor
    gradient_KN: Tensor


@dataclass(frozen=True)
class ActivationSensitivity(Sensitivity):
    """A site followed by an activation function; the gradient of the loss is taken after that function.

    The function's argument is `inner_KN`, whose derivative by the neuron is `slope_1N`. If a max pool follows, `pool`
    adds the effect of becoming a window's maximum. Gradients in `gradient_KN` that are not finite count as 0.
    """

    inner_KN: Tensor
    slope_1N: Tensor
    gradient_KN: Tensor
    curve: Callable[[Tensor], Tensor] | None
    pool: Pool | None = None

    def loss_change(self, place_KM: Tensor, change_KMQ: Tensor) -> Tensor:
        inner_KM1, slope_KM1, gradient_KM1 = (
            self._gathered(x_KN, place_KM).float()[..., None]
            for x_KN in (self.inner_KN, self.slope_1N, self.gradient_KN)
        )
        gradient_KM1 = gradient_KM1.nan_to_num(0.0, 0.0, 0.0)
        moved_KMQ = (change_KMQ * slope_KM1).add_(inner_KM1)
        if self.curve is not None:
            moved_KMQ, inner_KM1 = self.curve(moved_KMQ), self.curve(inner_KM1)
        largest_K11 = gradient_KM1.abs().amax(dim=(1, 2), keepdim=True)
        if self.pool is None:
            scaled_KM1 = (gradient_KM1 / largest_K11).nan_to_num(0.0)
            return moved_KMQ.sub_(inner_KM1).mul_(scaled_KM1).abs_()
        reach_KM1 = self._gathered(self.pool.gradient_KN, place_KM).float()[..., None].abs()
        largest_K11 = torch.maximum(largest_K11, reach_KM1.amax(dim=(1, 2), keepdim=True))
        above_KMQ = (moved_KMQ - self._gathered(self.pool.maximum_KN, place_KM).float()[..., None]).relu_()
        own_KMQ = moved_KMQ.sub_(inner_KM1).mul_((gradient_KM1 / largest_K11).nan_to_num(0.0)).abs_()
        return own_KMQ.addcmul_(above_KMQ, (reach_KM1 / largest_K11).nan_to_num(0.0))


@dataclass(frozen=True)
class LogitSensitivity(Sensitivity):
    """A site whose values × `slope_1N` are the logits; the change of the loss is exact."""

    logits_KC: Tensor
    slope_1N: Tensor
    labels_K: Tensor

    def loss_change(self, place_KM: Tensor, change_KMQ: Tensor) -> Tensor:
        own = slice(None) if self.rows_Q is None else self.rows_Q
        logits_KC, labels_K = self.logits_KC[own].double(), self.labels_K[own]
        highest_K1 = logits_KC.argmax(dim=1, keepdim=True)
        whole_K1 = logits_KC.logsumexp(dim=1, keepdim=True)
        share_KC = (logits_KC - whole_K1).exp()
        # 1 - softmax cancels for the highest logit; sum its rivals directly.
        others_KC = whole_K1 + torch.log1p(-share_KC.scatter(1, highest_K1, 0))
        rest_K1 = logits_KC.scatter(1, highest_K1, -torch.inf).logsumexp(dim=1, keepdim=True)
        others_KC = others_KC.scatter(1, highest_K1, rest_K1)
        moved_KMQ = change_KMQ.double() * self._gathered(self.slope_1N, place_KM).double()[..., None]
        logit_KM, others_KM = _gathered(logits_KC, place_KM), _gathered(others_KC, place_KM)
        grown_KMQ = torch.logaddexp(others_KM[..., None], logit_KM[..., None] + moved_KMQ) - whole_K1[..., None]
        own_KM1 = (place_KM == labels_K[:, None])[..., None]
        return (grown_KMQ - moved_KMQ * own_KM1).abs_().float()


def _gathered(rows_KN: Tensor, place_KM: Tensor) -> Tensor:
    """Return the values at `place_KM` of rows that are its own, or shared."""
    return rows_KN.expand(len(place_KM), -1).gather(1, place_KM)
