"""Top2Diff, and the accuracy that is left above a threshold on a confidence.

Sources: Top2Diff, Mahmoud et al., "Optimizing selective protection for CNN resilience", ISSRE 2021, section
IV-B; accuracy against delta, "Hardware resilience properties of text-guided image classifiers", NeurIPS 2023,
section 7.4 and figure 4.
"""

import numpy as np
import torch


def top2(logits_NC: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest and the second highest softmax probability of each row, float64 of shape [N].

    The second is 0 where there is only one class. Rows that are not finite give NaN.

    Top2Diff is the first less the second: large where the network is sure, small where it is in doubt.

    >>> highest, second = top2(torch.tensor([[4.0, 0.0, 0.0], [1.0, 0.9, 0.0]]))
    >>> (highest - second).round(3).tolist()
    [0.947, 0.042]
    """
    probabilities_NC = torch.softmax(logits_NC.double(), dim=1)
    highest_NK = probabilities_NC.topk(min(2, probabilities_NC.shape[1]), dim=1).values.cpu().numpy()
    top1_N = highest_NK[:, 0]
    top2_N = highest_NK[:, 1] if highest_NK.shape[1] == 2 else np.zeros_like(top1_N)
    return top1_N, top2_N


def thresholds(start: float, stop: float, step: float) -> np.ndarray:
    """Return the deltas start, start + step, … up to and including stop, float64; each is rounded to 12 decimals."""
    return np.round(start + step * np.arange(int((stop - start) / step + 1e-9) + 1), 12)


def accuracy_kept(correct_N: np.ndarray, confidence_N: np.ndarray, delta_D: np.ndarray) -> np.ndarray:
    """Return, for each delta, the share of images that are correct with a confidence of at least delta, shape [D].

    The confidence is Top2Diff in NeurIPS 2023, figure 4. Correct images below delta count as lost; the denominator is
    always all N images.

    >>> accuracy_kept(np.array([True, True, False]), np.array([0.9, 0.2, 0.8]), np.array([0.0, 0.5])).round(3).tolist()
    [0.667, 0.333]
    """
    return np.array([(correct_N & (confidence_N >= delta)).mean() for delta in delta_D])


def overtakes(first_D: np.ndarray, candidate_D: np.ndarray, delta_D: np.ndarray) -> list[float]:
    """Return the deltas at which the candidate's accuracy passes the first model's, after having been below it.

    The curves start with the plain accuracy (delta 0), which the caller puts first. A stretch of equal accuracies
    belongs to whatever came before it: the candidate overtakes where it is ahead for the first time.
    """
    crossings, behind = [], False
    for difference, delta in zip(candidate_D - first_D, delta_D, strict=True):
        if difference > 0 and behind:
            crossings.append(float(delta))
        behind = difference < 0 or (behind and difference == 0)
    return crossings
