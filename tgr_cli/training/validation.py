"""Validation after each epoch, distributed over the processes."""

from dataclasses import dataclass

import torch
from torch import nn

from tgr_cli.data.datasets import ImageSet
from tgr_cli.data.transforms import Preprocessing
from tgr_cli.models import golden
from tgr_cli.reporting import Reporter
from tgr_cli.training.distributed import Group
from tgr_cli.training.loop import Validation
from tgr_cli.training.recipe import Recipe


@dataclass(frozen=True)
class Validator:
    """A callable: model → validation metrics over all processes' evaluation images; `images` are this process's."""

    images: ImageSet
    preprocessing: Preprocessing
    workers: int
    recipe: Recipe
    group: Group
    reporter: Reporter

    def __call__(self, model: nn.Module) -> Validation:
        sums = torch.zeros(4, dtype=torch.float64)  # number of images, and their summed loss, top-1 and top-5 hits
        if len(self.images):
            figures = golden.figures(
                golden.classify(
                    model,
                    self.images,
                    self.preprocessing,
                    batch_size=self.recipe.batch_size,
                    workers=self.workers,
                    device=str(self.group.device),
                    reporter=self.reporter,
                    advice=f"lower --lr (now {self.recipe.lr:g}) or add --warmup-epochs",
                )
            )
            if self.group.world == 1:
                return Validation(loss=figures.loss, top1=figures.top1, top5=figures.top5)
            sums = figures.images * torch.tensor([1.0, figures.loss, figures.top1, figures.top5], dtype=torch.float64)
        count, loss, top1, top5 = self.group.total(sums.to(self.group.device)).tolist()
        return Validation(loss=loss / count, top1=top1 / count, top5=top5 / count)
