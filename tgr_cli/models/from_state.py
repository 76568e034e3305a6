"""From a state dict to the network it belongs to, text-guided or not."""

from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.models import weights, zoo
from tgr_cli.models.classifier import TextGuidedClassifier


def is_text_guided(state: dict[str, Tensor]) -> bool:
    """Return whether a state dict is that of a text-guided classifier."""
    return {"head.weight", "logit_scale"} <= state.keys() and any(name.startswith("backbone.") for name in state)


def network(name: str, state: dict[str, Tensor], classes: tuple[str, ...], dataset: str, what: str) -> nn.Module:
    """Return the model `name` with the weights of `state`, text-guided where the state is.

    `what` names the weights, `dataset` the classes in errors. Raises TgrError where they do not fit the model, or were
    made for another number of classes.
    """
    model: nn.Module
    if is_text_guided(state):
        num_classes, dim = state["head.weight"].shape
        model = TextGuidedClassifier(zoo.build(name, dim), num_classes, dim)
    else:
        model = zoo.build(name, len(classes))
        num_classes = _outputs(model, state, len(classes))
    if num_classes != len(classes):
        raise TgrError(
            f'{what} has {num_classes:,} classes, the data set "{dataset}" has {len(classes):,}; '
            "name the data set it was trained for"
        )
    weights.load_state(model, state, what)
    return model


def _outputs(model: nn.Module, state: dict[str, Tensor], expected: int) -> int:
    """Return another number of classes where that alone explains every difference in shape, else `expected`."""
    own = model.state_dict()
    differing = [(own[name].shape, state[name].shape) for name in own.keys() & state.keys()]
    differing = [(mine, theirs) for mine, theirs in differing if mine != theirs]
    found = {theirs[0] if theirs and (expected, *theirs[1:]) == tuple(mine) else None for mine, theirs in differing}
    number = next(iter(found), None)
    return number if number is not None and len(found) == 1 else expected
