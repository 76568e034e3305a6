"""Change of a model's saliency map under faults, for one image and summarised over images.

Suffixes: C classes or channels, H W height and width, 2 before and after.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tgr_cli.metrics.outcomes import judge
from tgr_cli.saliency import shift

if TYPE_CHECKING:
    from tgr_cli.saliency.ablation import Explainer


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Change of one model's maps over its images; a mean is None if no image has the value."""

    model: str
    layer: str
    images: int
    correct: int
    changed: int
    non_finite: int
    correlation: float | None
    correlated: int
    shift: float | None
    shifted: int
    explained_before: float
    explained_after: float | None


def row(explainer: "Explainer", x_CHW: Tensor, faulty: Mapping[str, Tensor], label: int | None) -> dict[str, Any]:
    """Return the `saliency` columns of one image x_CHW, with the tensors `faulty` in place of the model's.

    The explained class is `label`, or the golden prediction if that is None.
    """
    before, after = explainer.see(x_CHW), explainer.see(x_CHW, faulty)
    logits_2C = torch.stack([before.logits_C, after.logits_C]).cpu()
    judged = judge(logits_2C[:1], logits_2C[1:], torch.tensor([label or 0]))
    predicted, outcome = int(judged.golden_label[0]), str(judged.outcome[0])
    explained = predicted if label is None else label
    share_2C = torch.softmax(logits_2C.double(), dim=1)
    found: dict[str, Any] = {
        "explained": explained,
        "outcome": outcome,
        "prediction_before": predicted,
        "top1_before": float(share_2C[0, predicted]),
        "explained_before": float(share_2C[0, explained]),
        "height": explainer.layer.shape[1],
        "width": explainer.layer.shape[2],
        "map_before": (first_HW := explainer.explain(before, explained)).ravel(),
    } | dict.fromkeys(
        ("prediction_after", "top1_after", "explained_after", "correlation", "shift", "difference", "map_after")
    )
    if outcome == "non_finite":
        return found
    faulty_label = int(judged.faulty_label[0])
    found |= {
        "prediction_after": faulty_label,
        "top1_after": float(share_2C[1, faulty_label]),
        "explained_after": float(share_2C[1, explained]),
    }
    second_HW = explainer.explain(after, explained)
    if not np.isfinite(second_HW).all():
        return found
    return found | {
        "correlation": shift.correlation(first_HW, second_HW),
        "shift": shift.distance(first_HW, second_HW),
        "difference": shift.difference(first_HW, second_HW),
        "map_after": second_HW.ravel(),
    }


def summary(rows: list[dict[str, Any]]) -> Summary:
    """Return the summary of one model's rows."""

    def known(name: str) -> list[float]:
        return [row[name] for row in rows if row[name] is not None]

    def mean(name: str) -> float | None:
        return float(np.mean(known(name))) if known(name) else None

    return Summary(
        model=rows[0]["model"],
        layer=rows[0]["layer"],
        images=len(rows),
        correct=sum(row["prediction_before"] == row["label"] for row in rows),
        changed=sum(row["outcome"] == "sdc" for row in rows),
        non_finite=sum(row["outcome"] == "non_finite" for row in rows),
        correlation=mean("correlation"),
        correlated=len(known("correlation")),
        shift=mean("shift"),
        shifted=len(known("shift")),
        explained_before=float(np.mean(known("explained_before"))),
        explained_after=mean("explained_after"),
    )
