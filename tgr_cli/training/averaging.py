"""The exponential moving average of the weights, which is validated and kept in their place."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tgr_cli.training.recipe import Recipe


def averaged(model: nn.Module, recipe: Recipe, total: int) -> AveragedModel | None:
    """Return the average of `model`'s weights and buffers, None for a recipe without one; `total` images are a step.

    An update keeps 1 − min(1, (1 − ema_decay) · images since the last update / epochs), as torchvision's reference
    training does: the same average for every batch size and number of epochs.
    """
    if not recipe.ema_decay:
        return None
    weight = min(1.0, (1 - recipe.ema_decay) * total * recipe.ema_every / recipe.epochs)
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(1 - weight), use_buffers=True)
