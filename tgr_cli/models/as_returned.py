"""Models without a checkpoint: random weights, or the weights that a user's function loads itself."""

import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.models import weights, zoo
from tgr_cli.models.from_user import UserModel
from tgr_cli.models.names import RANDOM_WEIGHTS
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import Reporter

RANDOM, RETURNED = RANDOM_WEIGHTS, "as its function returns it"
MOSTLY = 0.5  # share of a model's weights that must be random for the model to count as random
SHOWN = 3


def build(source: ModelSource, num_classes: int, reporter: Reporter) -> tuple[nn.Module, str]:
    """Return the built model and the origin of its weights, which is also reported.

    A user's function whose weights do not depend on torch's random generator has loaded them. If the function seeds the
    generator itself, this cannot be decided, and a note says so. Raises TgrError where most weights are random and
    --weights none was not given.
    """
    name = source.model
    entry = zoo.of(source)
    if isinstance(entry, UserModel) and entry.origin:
        model = entry.build(num_classes)
        if note := entry.note(model):
            reporter.note(note)
        return model, entry.origin
    if not isinstance(entry, zoo.UserFunction):
        reporter.note(f"{name} has random weights (--weights none); its accuracy means nothing")
        return zoo.build(name, num_classes), RANDOM
    # Build twice with different seeds: only randomly initialised tensors differ.
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
        reporter.note(f"{name} has random weights (--weights none); its accuracy means nothing")
        return model, RANDOM
    if drawn:
        reporter.note(f"{name} returns a network in which {names} are random; its accuracy means nothing")
    elif model is not other and torch.equal(left, left_by_other):
        reporter.note(
            f"{name} is taken with the weights that its function returns; it seeds torch itself, so whether they are "
            "trained or random cannot be told"
        )
    else:
        reporter.note(f"{name} is taken with the weights that its function returns")
    return model, RETURNED


def _built(name: str, num_classes: int, seed: int) -> tuple[nn.Module, Tensor]:
    """Return the model and the state of torch's generator after building it."""
    with zoo.seeded(seed):
        return zoo.entry(name).build(num_classes), torch.get_rng_state()
