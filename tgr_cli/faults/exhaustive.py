"""Every fault of the last site, computed from golden logits without forward passes: it changes one logit only.

Suffixes: K images, C classes, V choices of the fault model.
"""

import numpy as np
import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines.engine import padded
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.graph import Network
from tgr_cli.faults.scale_groups import FaultFree
from tgr_cli.faults.sites import Site
from tgr_cli.metrics import outcomes


class LastSite:
    """The last site, where its output is the logits, or the logits divided by one factor (a text-guided head).

    Raises TgrError where another operation follows the last site.
    """

    def __init__(self, network: Network, corruption: Corruption) -> None:
        self.network, self.corruption = network, corruption
        choices = Choices(corruption.model, corruption.format(network.dtype))
        self._choices_V = torch.from_numpy(choices.enumerated("--exhaustive"))
        self.site: Site = network.sites[-1]
        if self.site.shape != (network.num_classes,) or not self.site.per_image:
            raise self._other()
        x_BCHW = torch.zeros((network.batch_size, *network.input_shape))
        minus_BC, none_BC, self.factor_C = (self._with(x_BCHW, value)[0] for value in (-1.0, 0.0, 1.0))
        if none_BC.any() or not self.factor_C.all() or not torch.equal(minus_BC, -self.factor_C):
            raise self._other()

    def _with(self, x_BCHW: Tensor, value: float) -> Tensor:
        def replaced(output_BC: Tensor) -> Tensor:
            return torch.full_like(output_BC, value)

        return self.network.forward(x_BCHW, strike={self.site.name: replaced})

    def _other(self) -> TgrError:
        why = ", as the guards of the protected model check or change it" if self.network.guarded else ""
        return TgrError(
            f"the output of the last site {self.site.name} is not proportional to the logits{why}; leave --exhaustive "
            "out"
        )

    def strike(self, x_KCHW: Tensor, labels_K: np.ndarray) -> dict[str, np.ndarray]:
        """Return the effect of every fault at the site on K ≤ batch size images: EXHAUSTIVE columns, [K, C, V] each.

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
        flipped_KCV, after_KCV = self.corruption.every_choice(
            self.site, torch.arange(before_KC.shape[1]), before_KC, self._choices_V, self._fault_free(before_KC)
        )
        faulty_KCV = after_KCV * self.factor_C[:, None]
        before_KCV = before_KC[..., None].expand_as(flipped_KCV)
        arrays = (value.double().cpu().numpy() for value in (before_KCV, flipped_KCV, after_KCV))
        return {
            **dict(zip(("value_before", "value_flipped", "value_after"), arrays, strict=True)),
            **_judged(golden_KC.double().cpu(), faulty_KCV.double().cpu().numpy(), labels_K),
        }

    def _fault_free(self, before_KC: Tensor) -> FaultFree | None:
        if self.corruption.form is None or not self.corruption.reads_groups:
            return None
        groups = self.network.scale_groups(self.site, self.corruption.form)
        return FaultFree(groups, lambda elements_CS: before_KC[:, elements_CS])


def _judged(golden_KC: Tensor, faulty_KCV: np.ndarray, labels_K: np.ndarray) -> dict[str, np.ndarray]:
    """Return label, dLoss and outcome of faults that replace one logit each by `faulty_KCV`."""
    golden, rows_K = golden_KC.numpy(), np.arange(len(golden_KC))
    classes_C = np.arange(golden.shape[1])
    first_K = golden.argmax(axis=1)
    others = golden.copy()
    others[rows_K, first_K] = -np.inf
    second_K = others.argmax(axis=1)

    # highest logit of the other classes
    rival_KC = np.where(classes_C == first_K[:, None], second_K[:, None], first_K[:, None])
    height_KC1 = np.take_along_axis(golden, rival_KC, axis=1)[..., None]
    wins_KCV = (faulty_KCV > height_KC1) | ((faulty_KCV == height_KC1) & (classes_C < rival_KC)[..., None])
    label_KCV = np.where(wins_KCV, classes_C[:, None], rival_KC[..., None])

    finite_KCV = np.isfinite(faulty_KCV)
    with np.errstate(invalid="ignore"):
        moved_KCV = np.abs(faulty_KCV - golden[..., None])
        loss_KCV = _losses(golden, faulty_KCV, labels_K, first_K)
        golden_loss_K = outcomes.cross_entropy(golden_KC, torch.from_numpy(labels_K))
        dloss_KCV = outcomes.dloss(golden_loss_K[:, None, None], loss_KCV)
    largest_K11 = np.abs(golden).max(axis=1)[:, None, None]
    outcome_KCV = outcomes.outcome(~finite_KCV, label_KCV != first_K[:, None, None], moved_KCV, largest_K11)
    return {
        "faulty_label": np.where(finite_KCV, label_KCV, -1),
        "dloss": np.where(finite_KCV, dloss_KCV, np.nan),
        "outcome": outcome_KCV,
    }


def _losses(golden: np.ndarray, faulty_KCV: np.ndarray, labels_K: np.ndarray, first_K: np.ndarray) -> np.ndarray:
    """Return the cross entropy with one logit replaced, as log-sum-exp of all logits minus the label's logit."""
    rows_K, peak_K1 = np.arange(len(golden)), golden.max(axis=1, keepdims=True)
    powers = np.exp(golden - peak_K1)
    # sum over the other logits; >= 1 unless the peak itself is replaced, which is handled next
    rest = powers.sum(axis=1, keepdims=True) - powers
    powers[rows_K, first_K] = 0
    rest[rows_K, first_K] = powers.sum(axis=1)
    with np.errstate(divide="ignore"):
        total_KCV = np.logaddexp((np.log(rest) + peak_K1)[..., None], faulty_KCV)
    own_KCV = np.broadcast_to(golden[rows_K, labels_K][:, None, None], faulty_KCV.shape).copy()
    own_KCV[rows_K, labels_K] = faulty_KCV[rows_K, labels_K]
    return total_KCV - own_KCV
