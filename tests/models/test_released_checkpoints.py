"""Checkpoints in the format of the text-guided paper's authors load, and their logits follow the formula."""

import argparse
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from tgr_cli.artifacts.layout import Workspace
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.models import zoo
from tgr_cli.models.loading import LoadedModel, load
from tgr_cli.models.source import ModelSource

CLASSES = tuple(f"class {number}" for number in range(7))


def released(model: nn.Module, path: Path) -> Path:
    """Write a training checkpoint in the format of torchvision's reference scripts."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 30).state_dict(),
            "epoch": 89,
            "args": argparse.Namespace(lr=0.1, model="resnet18", output_dir=".", distributed=True, gpu=0),
        },
        path,
    )
    return path


def loaded(path: Path) -> LoadedModel:
    return load(
        ModelSource(model="resnet18", checkpoint=path),
        Workspace(Path("runs"), "shops"),
        CLASSES,
        preprocessing=PreprocessingOptions(),
        device="cpu",
    )


class TheirClassifier(nn.Module):
    """An independent implementation: a backbone, a head without bias, and a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = zoo.build("resnet18", 512)
        self.head = nn.Linear(512, len(CLASSES), bias=False)
        self.logit_scale = nn.Parameter(torch.ones([]) * math.log(1 / 0.07))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.backbone(x)
        return self.logit_scale.exp() * self.head(features / features.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize("parallel", [False, True], ids=["plain", "as DistributedDataParallel saves it"])
def test_a_text_guided_one(parallel: bool) -> None:
    theirs = TheirClassifier().eval()
    saved: nn.Module = nn.ModuleDict({"module": theirs}) if parallel else theirs
    model = loaded(released(saved, Path("checkpoint.pth")))
    assert (model.head, model.num_classes) == ("text", 7)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(model.model(x), theirs(x), atol=1e-5)


def test_a_baseline() -> None:
    theirs = zoo.build("resnet18", len(CLASSES), seed=3).eval()
    model = loaded(released(theirs, Path("checkpoint.pth")))
    assert (model.head, model.num_classes) == ("baseline", 7)
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in model.model.state_dict().items())
