"""A model with the weights it is built with: random ones, or those that a user's own function loads into it."""

from torch import nn

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
    is. Raises TgrError where most weights are random and `source` does not ask for that by --weights none.
    """
    model = zoo.build(source.model, num_classes)
    if not isinstance(zoo.entry(source.model), zoo.UserFunction):
        reporter.note(f"{source.model} has random weights (--weights none); take no accuracy from it")
        return model, RANDOM
    # Built again from another seed, only what is drawn at random differs.
    drawn = weights.differing(model, zoo.build(source.model, num_classes, seed=1))
    state = model.state_dict()
    share = sum(state[name].numel() for name in drawn) / max(weights.parameters(model), 1)
    names = ", ".join(drawn[:SHOWN]) + (f" and {len(drawn) - SHOWN} more" if len(drawn) > SHOWN else "")
    if share > MOSTLY:
        if source.weights is None:
            raise TgrError(
                f"{source.model} returns a network with random weights ({names} differ from call to call), and no "
                'trained one is known; run "tgr train" first, let the function load its weights, or give --checkpoint '
                "FILE or --weights none"
            )
        reporter.note(f"{source.model} has random weights (--weights none); take no accuracy from it")
        return model, RANDOM
    if drawn:
        reporter.note(f"{source.model} returns a network in which {names} are random; take no accuracy from it")
    else:
        reporter.note(f"{source.model} is taken with the weights that its function returns")
    return model, RETURNED
