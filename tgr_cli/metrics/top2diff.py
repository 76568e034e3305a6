"""Top2Diff, and the accuracy when predictions below a confidence threshold are rejected.

Sources: Top2Diff, Mahmoud et al., "Optimizing selective protection for CNN resilience", ISSRE 2021, section IV-B;
accuracy against delta, "Hardware resilience properties of text-guided image classifiers", NeurIPS 2023, section 7.4 and
figure 4.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def top2(logits_NC: "torch.Tensor") -> tuple[np.ndarray, np.ndarray]:
    """Return the highest and the second highest softmax probability of each row, float64 of shape [N].

    With a single class the second is 0. Rows that are not finite give NaN.

    Top2Diff is their difference: large for a confident prediction, small for an uncertain one.

    >>> highest, second = top2(torch.tensor([[4.0, 0.0, 0.0], [1.0, 0.9, 0.0]]))
    >>> (highest - second).round(3).tolist()
    [0.947, 0.042]
    """
    probabilities_NC = logits_NC.double().softmax(dim=1)
    highest_NK = probabilities_NC.topk(min(2, probabilities_NC.shape[1]), dim=1).values.cpu().numpy()
    top1_N = highest_NK[:, 0]
    top2_N = highest_NK[:, 1] if highest_NK.shape[1] == 2 else np.zeros_like(top1_N)
    return top1_N, top2_N


def thresholds(start: float, stop: float, step: float) -> np.ndarray:
    """Return the thresholds start, start + step, … up to and including stop, float64, rounded to 12 decimals."""
    return np.round(start + step * np.arange(int((stop - start) / step + 1e-9) + 1), 12)


def accuracy_kept(correct_N: np.ndarray, confidence_N: np.ndarray, delta_D: np.ndarray) -> np.ndarray:
    """Return, for each delta, the share of images that are correct with a confidence of at least delta, shape [D].

    In NeurIPS 2023, figure 4, the confidence is Top2Diff. Correct images below delta count as wrong; the denominator is
    always N.

    >>> accuracy_kept(np.array([True, True, False]), np.array([0.9, 0.2, 0.8]), np.array([0.0, 0.5])).round(3).tolist()
    [0.667, 0.333]
    """
    return np.array([(correct_N & (confidence_N >= delta)).mean() for delta in delta_D])


def overtakes(first_D: np.ndarray, candidate_D: np.ndarray, delta_D: np.ndarray) -> list[float]:
    """Return the deltas at which the candidate's accuracy rises above the first model's after having been below.

    The curves must start at delta 0, the plain accuracy. Equal accuracies do not change which model is ahead: a
    crossing is the first delta at which the candidate is strictly ahead.
    """
    crossings, behind = [], False
    for difference, delta in zip(candidate_D - first_D, delta_D, strict=True):
        if difference > 0 and behind:
            crossings.append(float(delta))
        behind = difference < 0 or (behind and difference == 0)
    return crossings
