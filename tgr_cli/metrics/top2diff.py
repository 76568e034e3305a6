"""Top2Diff, and what a threshold on it costs and catches: accuracy kept, inferences run again, SDCs covered.

Sources: Top2Diff and ILR, Mahmoud et al., "Optimizing selective protection for CNN resilience", ISSRE 2021, sections
IV and VI-C; accuracy against delta, "Hardware resilience properties of text-guided image classifiers", NeurIPS 2023,
section 7.4 and figure 4.
"""

import numpy as np
import torch

SDC = "sdc"


def top2(logits_NC: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest and the second highest softmax probability of each row, float64 of shape [N].

    The second is 0 where there is only one class. Rows that are not finite give NaN.
    """
    probabilities_NC = torch.softmax(logits_NC.double(), dim=1)
    highest_NK = probabilities_NC.topk(min(2, probabilities_NC.shape[1]), dim=1).values.cpu().numpy()
    top1_N = highest_NK[:, 0]
    top2_N = highest_NK[:, 1] if highest_NK.shape[1] == 2 else np.zeros_like(top1_N)
    return top1_N, top2_N


def thresholds(start: float, stop: float, step: float) -> np.ndarray:
    """Return the deltas start, start + step, … up to and including stop, float64; each is rounded to 12 decimals."""
    return np.round(start + step * np.arange(int((stop - start) / step + 1e-9) + 1), 12)


def accuracy_kept(correct_N: np.ndarray, top2diff_N: np.ndarray, delta_D: np.ndarray) -> np.ndarray:
    """Return, for each delta, the share of images that are correct with Top2Diff ≥ delta, shape [D].

    Correct images below delta count as lost (NeurIPS 2023, figure 4); the denominator is always all N images.
    """
    return np.array([(correct_N & (top2diff_N >= delta)).mean() for delta in delta_D])


def rerun_overhead(top2diff_N: np.ndarray, delta_D: np.ndarray) -> np.ndarray:
    """Return, for each delta, the share of images with Top2Diff < delta, shape [D]: ILR's overhead.

    It is the number of additional inferences over the number of inferences, and counts all images, whether right or
    wrong, as a deployed system cannot tell them apart (ISSRE 2021, section VI).
    """
    return np.array([(top2diff_N < delta).mean() for delta in delta_D])


def sdc_coverage(
    sites_N: np.ndarray, outcomes_N: np.ndarray, weights_N: np.ndarray, top2diff_N: np.ndarray, delta_D: np.ndarray
) -> np.ndarray:
    """Return, for each delta, the share of SDCs whose inference has Top2Diff < delta and so is run again, shape [D].

    Every site counts alike, however many faults it got: a fault contributes its weight over its site's faults. NaN
    where none of the faults was an SDC.
    """
    _, site_N, faults_S = np.unique(sites_N, return_inverse=True, return_counts=True)
    contribution_N = np.where(outcomes_N == SDC, weights_N / faults_S[site_N], 0.0)
    total = contribution_N.sum()
    if total == 0:
        return np.full(len(delta_D), np.nan)
    return np.array([contribution_N[top2diff_N < delta].sum() / total for delta in delta_D])


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
