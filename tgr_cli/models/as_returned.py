"""A model with the weights it is built with: random ones, or those that a user's own function loads into it."""

import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.models import weights, zoo
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import Reporter

RANDOM, RETURNED = "random weights", "as its function returns it"
MOSTLY = 0.5  # of a model's weights, from which on it counts as random
SHOWN = 3


def build(source: ModelSource, num_classes: int, reporter: Reporter) -> tuple[nn.Module, str]:
    """Return the built model and where its weights are from, which is said.

    A function that gives the same weights whatever torch's generator holds has loaded them: the model is taken as it
    is. Where it seeds the generator itself, that tells nothing, which is said. Raises
    TgrError where most weights are random and `source` does not ask for that by --weights none.
    """
    name = source.model
    if not isinstance(zoo.entry(name), zoo.UserFunction):
        reporter.note(f"{name} has random weights (--weights none); take no accuracy from it")
        return zoo.build(name, num_classes), RANDOM
    # Built again from another seed, only what is drawn at random differs.
    (model, left), (other, left_by_other) = (_built(name, num_classes, seed) for seed in (0, 1))
    drawn = weights.differing(model, other)
    state = model.state_dict()
    share = sum(state[tensor].numel() for tensor in drawn) / max(weights.parameters(model), 1)
    names = ", ".join(drawn[:SHOWN]) + (f" and {len(drawn) - SHOWN} more" if len(drawn) > SHOWN else "")
    if share > MOSTLY:
        if source.weights is None:
            raise TgrError(
                f"{name} returns a network with random weights ({names} differ from call to call), and no "
                'trained one is known; run "tgr train" first, let the function load its weights, or give --checkpoint '
                "FILE or --weights none"
            )
        reporter.note(f"{name} has random weights (--weights none); take no accuracy from it")
        return model, RANDOM
    if drawn:
        reporter.note(f"{name} returns a network in which {names} are random; take no accuracy from it")
    elif model is not other and torch.equal(left, left_by_other):
        reporter.note(
            f"{name} is taken with the weights that its function returns; it seeds torch itself, so whether they are "
            "trained or random cannot be told"
        )
    else:
        reporter.note(f"{name} is taken with the weights that its function returns")
    return model, RETURNED


def _built(name: str, num_classes: int, seed: int) -> tuple[nn.Module, Tensor]:
    """Return the model, and the state in which building it left torch's generator."""
    with zoo.seeded(seed):
        return zoo.entry(name).build(num_classes), torch.get_rng_state()
