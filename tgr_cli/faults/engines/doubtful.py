"""Which faults' outcomes rounding could decide.

Suffixes: F faults, C classes.
"""

import torch
from torch import Tensor

from tgr_cli.metrics.outcomes import DLOSS_TOLERANCE, MASKED_BOUND

HUGE = 1e30


def doubtful(golden_FC: Tensor, faulty_FC: Tensor, rounding_F: Tensor | float) -> Tensor:
    """Return for each fault whether rounding could change its outcome or its dLoss noticeably, bool [F].

    `rounding_F` bounds the effect of rounding on logits, relative to the largest, with the fault or without it.
    """
    golden_F, faulty_F = size_of(golden_FC), size_of(faulty_FC)
    moved_F = (faulty_FC - golden_FC).abs().amax(dim=1) / golden_F
    doubtful_F = (
        ((moved_F - MASKED_BOUND).abs() <= rounding_F) | (rounding_F * golden_F > DLOSS_TOLERANCE) | ~(faulty_F < HUGE)
    )
    if faulty_FC.shape[1] > 1:
        top_F2 = faulty_FC.topk(2, dim=1).values
        doubtful_F |= top_F2[:, 0] - top_F2[:, 1] <= rounding_F * torch.maximum(golden_F, faulty_F)
    return doubtful_F


def size_of(logits_FC: Tensor) -> Tensor:
    """Return the largest absolute logit of each row, at least the smallest positive number."""
    return logits_FC.abs().amax(dim=1).clamp_min(torch.finfo(logits_FC.dtype).tiny)
