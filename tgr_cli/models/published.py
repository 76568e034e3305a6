"""State dicts with the names of the libraries' published files, where those differ from what the models have today."""

import contextlib
import copy
import io
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from tgr_cli.models.fitting import usable

State = dict[str, Tensor]

# The functions by which timm's modules rename what their authors published; timm gives them to its own loader.
TIMM_FILTERS = ("checkpoint_filter_fn", "_filter_fn", "pretrained_filter_fn", "_filter_torchvision_pretrained")


def renamed(model: nn.Module, state: State) -> State | None:
    """Return the state dict with today's names for `model`, None where its library knows no other names.

    The model may have been built by anyone: its class says which library's it is. Tensors are renamed, cut and joined
    but never resampled to other sizes: that would be another network than the file's.
    """
    module = type(model).__module__
    if module.startswith("torchvision.models."):
        rename = TORCHVISION.get(type(model).__name__)
        return None if rename is None else rename(state)
    if module.startswith("timm.models."):
        return _by_timm(model, state)
    return None


def _densenet(state: State) -> State:
    """Rename layers from before 2018: a module's name may hold no dot since then."""
    return {
        re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): value for name, value in state.items()
    }


def _without_auxiliary_heads(state: State) -> State:
    """Leave out the heads that answer in training only."""
    return {name: value for name, value in state.items() if not re.match(r"(aux1|aux2|AuxLogits)\.", name)}


TORCHVISION: dict[str, Callable[[State], State]] = {
    "DenseNet": _densenet,
    "GoogLeNet": _without_auxiliary_heads,
    "Inception3": _without_auxiliary_heads,
}


def _by_timm(model: nn.Module, state: State) -> State | None:
    home = sys.modules[type(model).__module__]
    rename = next((found for name in TIMM_FILTERS if callable(found := getattr(home, name, None))), None)
    state = {name: value for name, value in state.items() if not re.match(r"(AuxLogits|aux_head)\.", name)}
    if rename is None:
        return state
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            today: Any = rename(dict(state), model)
    except Exception:  # these functions expect their authors' files, and fail on others in any way
        return None
    if not isinstance(today, Mapping):
        return None
    resampled = {name for name in today if name in state and _elements(today[name]) != _elements(state[name])}
    return {name: state[name] if name in resampled else value for name, value in today.items()}


def _elements(value: Any) -> int | None:
    return value.numel() if isinstance(value, Tensor) else None


def converted(model: nn.Module, state: State, versions: Mapping[str, Any] | None) -> nn.Module | None:
    """Return a copy of `model` loaded with `state` by the model's own rules for older versions; None where they fail.

    Modules such as torchvision's MNASNet change names, and even their layers, for state dicts of older versions.
    """
    own = model.state_dict()
    for name, value in state.items():
        mine = own.get(name)
        alike = not isinstance(mine, Tensor) or mine.is_floating_point() == value.is_floating_point()
        if not (alike and usable(value)):  # torch would copy integers, and the real part of complex numbers
            return None
    versioned: OrderedDict[str, Tensor] = OrderedDict(state)
    if versions is not None:
        versioned._metadata = versions  # type: ignore[attr-defined]
    try:
        fresh = copy.deepcopy(model)
        fresh.load_state_dict(versioned, strict=True)
    except Exception:  # what does not fit fails in the model's own code, in whatever way that has
        return None
    return fresh
