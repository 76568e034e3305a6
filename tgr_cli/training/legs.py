"""Trainings resumed with another number of epochs, compared with an uninterrupted one."""

from tgr_cli.training.recipe import Recipe
from tgr_cli.training.state import State


def unequal_legs(state: State, recipe: Recipe) -> list[str]:
    """Return a note, at the start of the last leg, on whether the result equals that of a single leg.

    The schedules `step` and `constant` do not depend on the number of epochs; `cosine` and the weight of a moving
    average do.
    """
    leg = state.legs[-1]
    if len(state.legs) < 2 or (leg.after_epoch, leg.after_step) != (len(state.epochs), state.step):
        return []
    depends = ["cosine of the learning rate"] * (recipe.schedule == "cosine")
    depends += ["average of the weights"] * bool(recipe.ema_decay)
    planned = state.legs[-2].epochs
    if not depends:
        return [f"{planned} epochs were planned, now {leg.epochs}: it goes on as if they had been from the start"]
    rate = state.optimizer.param_groups[0]["lr"]
    return [
        f"{planned} epochs were planned, now {leg.epochs}: the {' and the '.join(depends)} of {leg.epochs} epochs "
        f"applies from here on (learning rate {rate:g}), so the result is not that of --epochs {leg.epochs} from the "
        "start; the training artifact records where it changed"
    ]
