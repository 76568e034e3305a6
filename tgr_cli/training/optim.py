"""Optimiser and learning-rate schedule, from torch."""

import warnings
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR, StepLR

from tgr_cli.training.recipe import Recipe

# Initial learning rate of the warm-up relative to the full rate (torchvision's reference recipes).
WARMUP_START = 0.01

# Positional embeddings and similar tables, as torchvision and timm name them.
POSITION_TABLES = (
    "relative_position_bias_table",
    "position_embedding",
    "pos_embedding",
    "pos_embed",
    "class_token",
    "cls_token",
)


def optimiser(model: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the optimiser of those parameters of `model` that require a gradient.

    The scale of a text-guided head (`logit_scale`) has no weight decay, which would pull the softmax towards uniform;
    this does not affect the comparison, as the baseline has no such parameter.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (decayed if _decays(name, parameter, recipe) else free).append(parameter)
    groups: list[dict[str, Any]] = [
        *([{"params": decayed}] if decayed else []),
        *([{"params": free, "weight_decay": 0.0}] if free else []),
    ]
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True)
    return AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def _decays(name: str, parameter: nn.Parameter, recipe: Recipe) -> bool:
    if name == "logit_scale":
        return False
    if recipe.decay == "all":
        return True
    # Norm scales, biases and layer scales are vectors.
    return parameter.ndim > 1 and name.rpartition(".")[2] not in POSITION_TABLES


def schedule(optimizer: Optimizer, recipe: Recipe) -> LRScheduler:
    """Return the learning-rate schedule, to be stepped once after each epoch."""
    rest = max(1, recipe.epochs - recipe.warmup_epochs)
    main: LRScheduler
    if recipe.schedule == "step":
        main = StepLR(optimizer, recipe.step_size, recipe.gamma)
    elif recipe.schedule == "cosine":
        main = CosineAnnealingLR(optimizer, rest, recipe.min_lr)
    else:
        main = ConstantLR(optimizer, factor=1.0, total_iters=0)
    if not recipe.warmup_epochs:
        return main
    warmup = LinearLR(optimizer, WARMUP_START, total_iters=recipe.warmup_epochs)
    return SequentialLR(optimizer, [warmup, main], [recipe.warmup_epochs])


def advance(new: LRScheduler, epochs: int) -> list[float]:
    """Advance a new schedule by `epochs` steps; return the learning rate of each parameter group."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of a schedule stepped before its optimiser
        for _ in range(epochs):
            new.step()
    return [float(group["lr"]) for group in new.optimizer.param_groups]
