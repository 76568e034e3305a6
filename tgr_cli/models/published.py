"""State dicts whose tensor names are those of older library versions or of the original authors."""

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

# Names of the functions with which timm's modules map the authors' tensor names to timm's; timm's loader calls them.
TIMM_FILTERS = ("checkpoint_filter_fn", "_filter_fn", "pretrained_filter_fn", "_filter_torchvision_pretrained")


def renamed(model: nn.Module, state: State) -> State | None:
    """Return the state dict with the current tensor names of `model`, None if its library has no such mapping.

    The library is found by the class of the model, whoever built it. Tensors are renamed, split and joined, but never
    resampled to other sizes: that would change the network.
    """
    module = type(model).__module__
    if module.startswith("torchvision.models."):
        rename = TORCHVISION.get(type(model).__name__)
        return None if rename is None else rename(state)
    if module.startswith("timm.models."):
        return _by_timm(model, state)
    return None


def _densenet(state: State) -> State:
    """Rename layers of checkpoints from before 2018: since then module names may not contain a dot."""
    return {
        re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): value for name, value in state.items()
    }


def _without_auxiliary_heads(state: State) -> State:
    """Leave out the auxiliary classifiers, which are active only in training."""
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
    except Exception:  # written for the authors' files; on other files they may raise anything
        return None
    if not isinstance(today, Mapping):
        return None
    resampled = {name for name in today if name in state and _elements(today[name]) != _elements(state[name])}
    return {name: state[name] if name in resampled else value for name, value in today.items()}


def _elements(value: Any) -> int | None:
    return value.numel() if isinstance(value, Tensor) else None


def converted(model: nn.Module, state: State, versions: Mapping[str, Any] | None) -> nn.Module | None:
    """Return a copy of `model` loaded by its own `_load_from_state_dict` rules for older versions, None if that fails.

    Modules such as torchvision's MNASNet change tensor names, and even layers, for state dicts of older versions.
    """
    own = model.state_dict()
    for name, value in state.items():
        mine = own.get(name)
        alike = not isinstance(mine, Tensor) or mine.is_floating_point() == value.is_floating_point()
        if not (alike and usable(value)):  # torch would silently cast integers and drop imaginary parts
            return None
    versioned: OrderedDict[str, Tensor] = OrderedDict(state)
    if versions is not None:
        versioned._metadata = versions  # type: ignore[attr-defined]
    try:
        fresh = copy.deepcopy(model)
        fresh.load_state_dict(versioned, strict=True)
    except Exception:  # a mismatch may raise anything in the model's own code
        return None
    return fresh
