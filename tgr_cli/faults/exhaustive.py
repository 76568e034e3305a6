"""Every fault of the last site, computed from golden logits without forward passes: it changes one logit only.

Suffixes: K images, C classes, B bits.
"""

import numpy as np
import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines.engine import padded
from tgr_cli.faults.graph import Network
from tgr_cli.faults.sites import Site
from tgr_cli.metrics import outcomes


class LastSite:
    """The last site, where its output is the logits, or the logits divided by one factor (a text-guided head).

    Raises TgrError where another operation follows the last site.
    """

    def __init__(self, network: Network, corruption: Corruption) -> None:
        self.network, self.corruption = network, corruption
        self.site: Site = network.sites[-1]
        if self.site.shape != (network.num_classes,) or not self.site.per_image:
            raise self._other()
        x_BCHW = torch.zeros((network.batch_size, *network.input_shape))
        minus_BC, none_BC, self.factor_C = (self._with(x_BCHW, value)[0] for value in (-1.0, 0.0, 1.0))
        if none_BC.any() or not torch.equal(minus_BC, -self.factor_C):
            raise self._other()

    def _with(self, x_BCHW: Tensor, value: float) -> Tensor:
        def replaced(output_BC: Tensor) -> Tensor:
            return torch.full_like(output_BC, value)

        return self.network.forward(x_BCHW, strike={self.site.name: replaced})

    def _other(self) -> TgrError:
        return TgrError(
            f"the output of the last site {self.site.name} is not proportional to the logits; leave --exhaustive out"
        )

    def strike(self, x_KCHW: Tensor, labels_K: np.ndarray) -> dict[str, np.ndarray]:
        """Return the effect of every flip at the site on K ≤ batch size images: EXHAUSTIVE columns, [K, C, B] each.

        Outcome, predictions and dLoss equal those of `metrics.outcomes.judge`. Raises TgrError as the class does.
        """
        values: list[Tensor] = []

        def seen(output_BC: Tensor) -> Tensor:
            values.append(output_BC)
            return output_BC

        count, x_BCHW = len(x_KCHW), padded(x_KCHW, self.network.batch_size)
        golden_KC = self.network.forward(x_BCHW, strike={self.site.name: seen})[:count]
        before_KC = values[0][:count]
        if not torch.equal(before_KC * self.factor_C, golden_KC):
            raise self._other()
        flipped_KCB, after_KCB = self.corruption.every_flip(self.site.name, before_KC)
        faulty_KCB = after_KCB * self.factor_C[:, None]
        before_KCB = before_KC[..., None].expand_as(flipped_KCB)
        arrays = (value.double().cpu().numpy() for value in (before_KCB, flipped_KCB, after_KCB))
        return {
            **dict(zip(("value_before", "value_flipped", "value_after"), arrays, strict=True)),
            **_judged(golden_KC.double().cpu(), faulty_KCB.double().cpu().numpy(), labels_K),
        }


def _judged(golden_KC: Tensor, faulty_KCB: np.ndarray, labels_K: np.ndarray) -> dict[str, np.ndarray]:
    """Return label, dLoss and outcome of faults that replace one logit each by `faulty_KCB`."""
    golden, rows_K = golden_KC.numpy(), np.arange(len(golden_KC))
    classes_C = np.arange(golden.shape[1])
    first_K = golden.argmax(axis=1)
    others = golden.copy()
    others[rows_K, first_K] = -np.inf
    second_K = others.argmax(axis=1)

    # highest logit of the other classes
    rival_KC = np.where(classes_C == first_K[:, None], second_K[:, None], first_K[:, None])
    height_KC1 = np.take_along_axis(golden, rival_KC, axis=1)[..., None]
    wins_KCB = (faulty_KCB > height_KC1) | ((faulty_KCB == height_KC1) & (classes_C < rival_KC)[..., None])
    label_KCB = np.where(wins_KCB, classes_C[:, None], rival_KC[..., None])

    finite_KCB = np.isfinite(faulty_KCB)
    with np.errstate(invalid="ignore"):
        moved_KCB = np.abs(faulty_KCB - golden[..., None])
        loss_KCB = _losses(golden, faulty_KCB, labels_K, first_K)
        golden_loss_K = outcomes.cross_entropy(golden_KC, torch.from_numpy(labels_K))
        dloss_KCB = outcomes.dloss(golden_loss_K[:, None, None], loss_KCB)
    largest_K11 = np.abs(golden).max(axis=1)[:, None, None]
    outcome_KCB = outcomes.outcome(~finite_KCB, label_KCB != first_K[:, None, None], moved_KCB, largest_K11)
    return {
        "faulty_label": np.where(finite_KCB, label_KCB, -1),
        "dloss": np.where(finite_KCB, dloss_KCB, np.nan),
        "outcome": outcome_KCB,
    }


def _losses(golden: np.ndarray, faulty_KCB: np.ndarray, labels_K: np.ndarray, first_K: np.ndarray) -> np.ndarray:
    """Return the cross entropy with one logit replaced, as log-sum-exp of all logits minus the label's logit."""
    rows_K, peak_K1 = np.arange(len(golden)), golden.max(axis=1, keepdims=True)
    powers = np.exp(golden - peak_K1)
    # sum over the other logits; >= 1 unless the peak itself is replaced, which is handled next
    rest = powers.sum(axis=1, keepdims=True) - powers
    powers[rows_K, first_K] = 0
    rest[rows_K, first_K] = powers.sum(axis=1)
    with np.errstate(divide="ignore"):
        total_KCB = np.logaddexp((np.log(rest) + peak_K1)[..., None], faulty_KCB)
    own_KCB = np.broadcast_to(golden[rows_K, labels_K][:, None, None], faulty_KCB.shape).copy()
    own_KCB[rows_K, labels_K] = faulty_KCB[rows_K, labels_K]
    return total_KCB - own_KCB
