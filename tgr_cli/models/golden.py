"""Fault-free ("golden") predictions of a model: logits, and the rows of the `golden` artifact."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import nn

from tgr_cli.data.datasets import ImageSet, batches
from tgr_cli.data.transforms import Preprocessing, evaluation
from tgr_cli.errors import TgrError
from tgr_cli.metrics.outcomes import cross_entropy, predictions
from tgr_cli.metrics.top2diff import top2
from tgr_cli.models.weights import dtype
from tgr_cli.pooling import QuickPools
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True)
class GoldenRun:
    """Fault-free logits of N images, float32 [N, C] on the CPU, all finite, and their labels, int64 [N]."""

    logits_NC: torch.Tensor
    labels_N: torch.Tensor

    def rank_of_label(self) -> np.ndarray:
        """Return the rank of each label's logit, int64 [N], 0 for the highest; ties go to the lowest index."""
        own_N1 = self.logits_NC.gather(1, self.labels_N[:, None])
        index_C = torch.arange(self.logits_NC.shape[1])
        ahead_NC = (self.logits_NC > own_N1) | ((self.logits_NC == own_N1) & (index_C < self.labels_N[:, None]))
        return ahead_NC.sum(1).numpy()


class Digest:
    """The SHA-256 of preprocessed images in their order, however they are divided into batches."""

    def __init__(self) -> None:
        self._sha256 = sha256()

    def add(self, x_BCHW: torch.Tensor) -> None:
        self._sha256.update(x_BCHW.contiguous().numpy().tobytes())

    def text(self) -> str:
        return self._sha256.hexdigest()


def digest(images: ImageSet, pre: Preprocessing, *, batch_size: int, workers: int = 0) -> str:
    """Return the SHA-256 of all images as `classify` gives them to a model, without classifying them."""
    seen = Digest()
    for x_BCHW, _ in batches(images, evaluation(pre), batch_size=batch_size, workers=workers):
        seen.add(x_BCHW)
    return seen.text()


@dataclass(frozen=True, kw_only=True)
class GoldenMetrics:
    """Accuracy (top1, top5, in [0, 1]), mean cross entropy in nats, mean Top2Diff over the correctly classified images.

    `top2diff` is NaN if no image is classified correctly.
    """

    images: int
    top1: float
    top5: float
    loss: float
    top2diff: float


def classify(
    model: nn.Module,
    images: ImageSet,
    pre: Preprocessing,
    *,
    batch_size: int,
    workers: int = 0,
    device: str = "cpu",
    reporter: Reporter = SILENT,
    advice: str = "check its weights and the preprocessing",
    seen: Digest | None = None,
) -> GoldenRun:
    """Return the logits of `model`, in evaluation mode, for all `images` in their order.

    Raises TgrError for a non-finite logit, naming the first such image, and where the output is not one row of logits
    per image; `advice` is the next step for the user in the former case. The images are added to `seen`. The model's
    mode is restored.
    """
    logits, labels, done = [], [], 0
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), QuickPools():
            for x_BCHW, labels_B in batches(images, evaluation(pre), batch_size=batch_size, workers=workers):
                if seen is not None:
                    seen.add(x_BCHW)
                logits_BC = model(x_BCHW.to(device, dtype(model))).float().cpu()
                if logits_BC.ndim != 2 or len(logits_BC) != len(labels_B):
                    raise TgrError(
                        f"the model's output has shape {tuple(logits_BC.shape)} for {len(labels_B)} images; "
                        "it must be one row of logits an image"
                    )
                _refuse_non_finite(logits_BC, images.ids[done:], advice)
                logits.append(logits_BC)
                labels.append(labels_B)
                done += len(labels_B)
                reporter.progress("classifying", done, len(images))
    finally:
        model.train(was_training)
    return GoldenRun(torch.cat(logits), torch.cat(labels))


def _refuse_non_finite(logits_BC: torch.Tensor, ids: Sequence[str], advice: str) -> None:
    finite_B = torch.isfinite(logits_BC).all(1)
    if not finite_B.all():
        name = ids[int(finite_B.int().argmin())]
        raise TgrError(f"the model's logits for image {name} are not finite; {advice}")


def rows(golden: GoldenRun, ids: Sequence[str]) -> dict[str, Any]:
    """Return the columns of the `golden` artifact; `ids` are the images' ids."""
    top1_N, top2_N = top2(golden.logits_NC)
    return {
        "image_id": list(ids),
        "label": golden.labels_N.numpy(),
        "prediction": predictions(golden.logits_NC),
        "loss": cross_entropy(golden.logits_NC, golden.labels_N),
        "top1": top1_N,
        "top2": top2_N,
        "top2diff": top1_N - top2_N,
        "rank_of_label": golden.rank_of_label(),
    }


def figures(golden: GoldenRun) -> GoldenMetrics:
    """Return the figures of the `golden` rows over all images."""
    columns = rows(golden, ids=())
    rank_N = columns["rank_of_label"]
    right_N = rank_N == 0
    return GoldenMetrics(
        images=len(rank_N),
        top1=float(right_N.mean()),
        top5=float((rank_N < 5).mean()),
        loss=float(columns["loss"].mean()),
        top2diff=float(columns["top2diff"][right_N].mean()) if right_N.any() else float("nan"),
    )
