"""The zoo's models: input size, cost, and the overhead of the text-guided head."""

from dataclasses import dataclass

import torch

from tgr_cli.models import zoo
from tgr_cli.models.classifier import TextGuidedClassifier
from tgr_cli.models.cost import Unwritten, macs
from tgr_cli.models.weights import parameters
from tgr_cli.reporting import SILENT, Reporter

CLASSES, EMBEDDING_DIM = 1000, 512  # of ImageNet and CLIP, as in table 1 of the NeurIPS 2023 paper


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One model with 1000 classes: input (C, H, W) in pixels, parameters, multiply-accumulates per image.

    The deltas are text-guided (E = 512) minus baseline.
    """

    name: str
    input_size: tuple[int, int, int]
    params: int
    macs: int
    text_params_delta: int
    text_macs_delta: int


def run(reporter: Reporter = SILENT) -> list[ModelRow]:
    """Return one row per model of the zoo, computed on torch's meta device."""
    rows = []
    for done, name in enumerate(zoo.ZOO):
        reporter.progress("models", done, len(zoo.ZOO))
        rows.append(_row(name))
    reporter.progress("models", len(zoo.ZOO), len(zoo.ZOO))
    return rows


def _row(name: str) -> ModelRow:
    shape = zoo.default_preprocessing(name).input_shape
    with torch.device("meta"), Unwritten():
        baseline = zoo.build(name, CLASSES).eval()
        guided = TextGuidedClassifier(zoo.build(name, EMBEDDING_DIM), CLASSES, EMBEDDING_DIM).eval()
    params, work = parameters(baseline), macs(baseline, shape)
    return ModelRow(
        name=name,
        input_size=shape,
        params=params,
        macs=work,
        text_params_delta=parameters(guided) - params,
        text_macs_delta=macs(guided, shape) - work,
    )
