"""The layers that a training may freeze or disturb, told by their modules."""

from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the convolutions and linear layers of `model` by their names, in the order of its modules."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def last_layer(model: nn.Module) -> str:
    """Return the name of the layer that makes the logits: a text-guided model's head, else the last one."""
    found = layers(model)
    if not found:
        raise TgrError("the model has no convolution and no linear layer among its modules; name a model that has")
    return "head" if hasattr(model, "backbone") and "head" in found else next(reversed(found))


def matching(model: nn.Module, patterns: str | None, option: str) -> dict[str, nn.Module]:
    """Return the layers that the comma-separated `patterns` (with *) name; None: all but the one of the logits.

    Raises TgrError for a pattern that names none, and where `option` would find nothing to act on.
    """
    found = layers(model)
    if patterns is None:
        chosen = {name: module for name, module in found.items() if name != last_layer(model)}
        if not chosen:
            raise TgrError(f"{option} finds no layer before the logits; name the layers it acts on")
        return chosen
    wanted = [pattern.strip() for pattern in patterns.split(",")]
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in found):
            raise TgrError(
                f'{option} names "{pattern}", which is no convolution or linear layer; this model has '
                f"{', '.join(list(found)[:8])}{', …' if len(found) > 8 else ''}"
            )
    return {name: module for name, module in found.items() if any(fnmatchcase(name, pattern) for pattern in wanted)}


def never_called(model: nn.Module, chosen: dict[str, nn.Module], x_BCHW: Tensor) -> list[str]:
    """Return the names of those of the `chosen` layers that `model`, in evaluation mode, does not call on `x_BCHW`.

    Such as hand their weights to a function instead, as the attention of torchvision's Swin Transformer V2 does: no
    hook sees their output.
    """
    called: set[str] = set()
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: called.add(name)) for name, module in chosen.items()
    ]
    try:
        with torch.no_grad():
            model(x_BCHW)
    finally:
        for handle in handles:
            handle.remove()
    return [name for name in chosen if name not in called]


def freeze(model: nn.Module, *, head: bool, backbone: bool) -> tuple[str, ...]:
    """Keep the head or the backbone of `model` as it is; return the names of what must stay in evaluation mode.

    The head is the layer that makes the logits (a text-guided model's scale goes on learning with the backbone), the
    backbone all else. Their parameters need no gradient any more; the backbone's batch norms keep their statistics and
    its dropout is off, because its modules are returned. Raises TgrError where nothing is left to
    train.
    """
    name = last_layer(model)
    guided = hasattr(model, "backbone") and hasattr(model, "logit_scale")
    for parameter_name, parameter in model.named_parameters():
        in_head = parameter_name.rpartition(".")[0] == name
        if (head and in_head) or (backbone and not in_head and not (guided and parameter_name == "logit_scale")):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TgrError("--freeze-head and --freeze-backbone leave nothing to train; leave out one of them")
    if not backbone:
        return ()
    last = model.get_submodule(name)
    return tuple(name for name, module in model.named_modules() if last not in module.modules())
