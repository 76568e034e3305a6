"""The exponential moving average (EMA) of the weights, which is validated and saved in their place."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tgr_cli.training.recipe import Recipe


def averaged(model: nn.Module, recipe: Recipe, total: int) -> AveragedModel | None:
    """Return the EMA of `model`'s weights and buffers, None for a recipe without it; `total` is the images per step.

    The decay is 1 − min(1, (1 − ema_decay) · images since the last update / epochs), as in torchvision's reference
    training: so the average does not depend on the batch size and the number of epochs.
    """
    if not recipe.ema_decay:
        return None
    weight = min(1.0, (1 - recipe.ema_decay) * total * recipe.ema_every / recipe.epochs)
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(1 - weight), use_buffers=True)
