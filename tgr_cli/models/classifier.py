"""The text-guided classifier: a backbone, and class embeddings in place of its last layer.

Source: "Hardware Resilience Properties of Text-Guided Image Classifiers", NeurIPS 2023; normalisation and scale follow
the authors' released code.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from tgr_cli.errors import TgrError
from tgr_cli.models import zoo

LOGIT_SCALE = math.log(1 / 0.07)


class TextGuidedClassifier(nn.Module):
    """logits = exp(s) · W · (z / ‖z‖₂) with z = backbone(x) ∈ R^E, W = head.weight ∈ R^{C×E}, s = logit_scale."""

    def __init__(self, backbone: nn.Module, num_classes: int, embedding_dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(embedding_dim, num_classes, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(LOGIT_SCALE))

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        z_BE = functional.normalize(self.backbone(x_BCHW), dim=1)
        return self.logit_scale.exp() * self.head(z_BE)


def text_guided(name: str, embeddings_CE: torch.Tensor, *, seed: int = 0) -> TextGuidedClassifier:
    """Return the zoo model `name` with E outputs, followed by a head whose rows are the L2-normalised class embeddings.

    The backbone has the initial weights of the baseline with the same `seed`, except for the last layer, whose shape
    differs. Raises TgrError for an all-zero embedding.
    """
    norms_C = embeddings_CE.float().norm(dim=1)
    unusable = torch.nonzero(~(torch.isfinite(norms_C) & (norms_C > 0))).flatten()
    if len(unusable):
        raise TgrError(
            f"the embedding of class {int(unusable[0])} is zero or not finite and has no direction; embed the classes "
            "again"
        )
    classes, dim = embeddings_CE.shape
    with torch.random.fork_rng(devices=[]):
        model = TextGuidedClassifier(zoo.build(name, dim, seed=seed), classes, dim)
    # Copy them: many constructors draw weights after the last layer's, so the same seed alone gives other values.
    baseline, own = zoo.build(name, classes, seed=seed).state_dict(), model.backbone.state_dict()
    shared = {key: value for key, value in baseline.items() if key in own and own[key].shape == value.shape}
    model.backbone.load_state_dict(own | shared)
    with torch.no_grad():
        model.head.weight.copy_(functional.normalize(embeddings_CE.float(), dim=1))
    return model
