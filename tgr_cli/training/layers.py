"""Selecting the layers that a training freezes or disturbs."""

from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the convolutions and linear layers of `model` by name, in module order."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def last_layer(model: nn.Module) -> str:
    """Return the name of the layer that outputs the logits: a text-guided model's head, else the last one."""
    found = layers(model)
    if not found:
        raise TgrError("the model has no convolution and no linear layer among its modules; name a model that has")
    return "head" if hasattr(model, "backbone") and "head" in found else next(reversed(found))


def matching(model: nn.Module, patterns: str | None, option: str) -> dict[str, nn.Module]:
    """Return the layers that match the comma-separated `patterns` (with *); None: all but the logits layer.

    Raises TgrError for a pattern without a match, and where nothing is left for `option`.
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
    """Return the names of the `chosen` layers whose forward is not called by `model`, in evaluation mode, on `x_BCHW`.

    For example, the attention of torchvision's Swin Transformer V2 passes its layers' weights to a function, so no hook
    sees their output.
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
    """Freeze the head or the backbone of `model`; return the names of the modules that must stay in evaluation mode.

    The head is the layer that outputs the logits (a text-guided model's `logit_scale` still trains with the backbone);
    the backbone is the rest. Frozen parameters require no gradient. A frozen backbone's modules are returned, so that
    batch norm keeps its statistics and dropout is off. Raises TgrError where nothing is left to train.
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
