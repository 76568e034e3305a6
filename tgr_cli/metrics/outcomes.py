"""The effect of a fault: outcome, dLoss, and the predictions and confidences before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts.schemas import OUTCOMES as OUTCOMES  # in the order of decision
from tgr_cli.errors import TgrError
from tgr_cli.metrics.top2diff import top2

if TYPE_CHECKING:
    import torch  # slow to load; commands that read what was measured do without it

MASKED_BOUND = 1e-5
DLOSS_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Judged:
    """The effects of N faults, numpy arrays of shape [N].

    `*_top1` is the highest softmax probability, `*_top2diff` its difference to the second highest; both lie in [0, 1].
    Where the outcome is `non_finite`, `faulty_label` is -1 and `faulty_loss`, `dloss`, `faulty_top1` and
    `faulty_top2diff` are NaN; `with_nulls` turns these into nulls.
    """

    outcome: np.ndarray
    golden_label: np.ndarray
    faulty_label: np.ndarray
    golden_loss: np.ndarray
    faulty_loss: np.ndarray
    dloss: np.ndarray
    golden_top1: np.ndarray
    faulty_top1: np.ndarray
    golden_top2diff: np.ndarray
    faulty_top2diff: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays by name: the columns of `injections`, with placeholders instead of nulls."""
        return dict(vars(self))


def with_nulls(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns of `injections` with nulls where the outcome is non_finite, as the schema requires."""
    gone_N = columns["outcome"] == "non_finite"
    nullable = ("faulty_label", "faulty_loss", "dloss", "faulty_top1", "faulty_top2diff")
    return {name: pa.array(v, mask=gone_N) if name in nullable else v for name, v in columns.items()}


def agree(outcome: str, dloss: float, oracle_outcome: str, oracle_dloss: float) -> bool:
    """Return whether a fault equals the reference: same outcome, and dLoss within 1e-4 + 1e-4 × dLoss.

    dLoss is NaN where the outcome is non_finite.
    """
    if outcome != oracle_outcome or np.isnan(dloss) != np.isnan(oracle_dloss):
        return False
    return bool(np.isnan(dloss) or abs(dloss - oracle_dloss) <= DLOSS_TOLERANCE * (1 + oracle_dloss))


def predictions(logits_NC: "torch.Tensor") -> np.ndarray:
    """Return the index of each row's highest logit, int64 [N]; the lowest index wins ties, and NaN never wins.

    torch.argmax does not define which index wins a tie and treats NaN as the maximum; numpy's returns the first
    maximum.
    """
    return np.where(np.isnan(logits := _float64(logits_NC)), -np.inf, logits).argmax(axis=1)


def cross_entropy(logits_NC: "torch.Tensor", labels_N: "torch.Tensor") -> np.ndarray:
    """Return the cross entropy of each row's softmax against its label, in nats, float64 of shape [N]."""
    from torch.nn import functional

    return functional.cross_entropy(logits_NC.double(), labels_N, reduction="none").cpu().numpy()


def outcome(gone: np.ndarray, changed: np.ndarray, moved: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Return the outcome of each fault, the first that holds; arguments broadcast, the result has their shape.

    `non_finite` where a faulty logit is NaN or infinite (`gone`), `sdc` where the prediction `changed`, `masked` where
    no logit `moved` by more than 1e-5 of the largest absolute golden one, else `benign`.
    """
    return np.select(
        [gone, changed, moved <= MASKED_BOUND * largest], np.array(OUTCOMES[:3], dtype=object), OUTCOMES[3]
    )


def dloss(golden_loss: np.ndarray, faulty_loss: np.ndarray) -> np.ndarray:
    """Return the absolute difference of two cross entropies, in nats (ISSRE 2021, equation 3)."""
    return np.abs(golden_loss - faulty_loss)


def judge(golden_NC: "torch.Tensor", faulty_NC: "torch.Tensor", labels_N: "torch.Tensor") -> Judged:
    """Return the effects of N faults, given the logits without and with each, and the labels of the losses.

    Outcomes are those of `outcome`, dLoss that of `dloss`.

    Three faults on an image of class 0: one changes nothing, one makes class 1 the prediction, one a logit infinite.

    >>> golden = torch.tensor([[2.0, 1.0]] * 3)
    >>> faulty = torch.tensor([[2.0, 1.0], [2.0, 3.0], [2.0, math.inf]])
    >>> found = judge(golden, faulty, torch.tensor([0, 0, 0]))
    >>> found.outcome.tolist(), found.dloss.round(3).tolist()
    (['masked', 'sdc', 'non_finite'], [0.0, 1.0, nan])

    Raises TgrError if a golden logit is not finite, as there is no reference then.
    """
    golden, faulty = _float64(golden_NC), _float64(faulty_NC)
    broken = int((~np.isfinite(golden)).any(axis=1).sum())
    if broken:
        raise TgrError(
            f"the model gives {broken} of {len(golden)} images logits that are not finite without any fault; "
            "faults can only be judged against finite ones, so check its weights and preprocessing"
        )
    gone_N = ~np.isfinite(faulty).all(axis=1)
    golden_label_N, faulty_label_N = predictions(golden_NC), predictions(faulty_NC)
    with np.errstate(invalid="ignore"):
        moved_N = np.abs(faulty - golden).max(axis=1)
    outcome_N = outcome(gone_N, golden_label_N != faulty_label_N, moved_N, np.abs(golden).max(axis=1))
    golden_loss_N = cross_entropy(golden_NC, labels_N)
    golden_top1_N, golden_top2_N = top2(golden_NC)
    faulty_top1_N, faulty_top2_N = top2(faulty_NC)
    faulty_loss_N = np.where(gone_N, np.nan, cross_entropy(faulty_NC, labels_N))
    return Judged(
        outcome=outcome_N,
        golden_label=golden_label_N,
        faulty_label=np.where(gone_N, -1, faulty_label_N),
        golden_loss=golden_loss_N,
        faulty_loss=faulty_loss_N,
        dloss=dloss(golden_loss_N, faulty_loss_N),
        golden_top1=golden_top1_N,
        faulty_top1=np.where(gone_N, np.nan, faulty_top1_N),
        golden_top2diff=golden_top1_N - golden_top2_N,
        faulty_top2diff=np.where(gone_N, np.nan, faulty_top1_N - faulty_top2_N),
    )


def _float64(logits_NC: "torch.Tensor") -> np.ndarray:
    return logits_NC.detach().double().cpu().numpy()
