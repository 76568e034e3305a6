"""A trial run of a user's network on random images before any work.

Suffixes: B batch, C classes or channels, H W height and width.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from tgr_cli.data import built_in
from tgr_cli.data.transforms import Preprocessing
from tgr_cli.errors import TgrError, first_line
from tgr_cli.models import weights, zoo
from tgr_cli.models.from_user import UserModel


def try_out(
    entry: zoo.Architecture, model: nn.Module, prepared: Preprocessing, num_classes: int, device: torch.device
) -> None:
    """Raise TgrError unless a user's model, in evaluation mode, gives `num_classes` repeatable logits per image.

    A model that is not deterministic is refused: a difference could not be attributed to a fault. A model that changes
    its input in place is given copies from here on.
    """
    if not isinstance(entry, UserModel):
        return
    name = entry.path
    if any(module.training for module in model.modules()):
        raise TgrError(
            f"--model {name} stays in training mode when eval() is called; let its train() and eval() set it"
        )
    one_1CHW = _images(1, prepared.input_shape, device, weights.dtype(model))
    try:
        with torch.no_grad():
            _refuse_fixed_batches(name, model, one_1CHW)
            keep_input(model, one_1CHW)
            logits_1C, again_1C = model(one_1CHW.clone()), model(one_1CHW.clone())
    except TgrError:
        raise
    except Exception as error:
        raise TgrError(
            f"--model {name} fails on an input of {'×'.join(map(str, prepared.input_shape))} "
            f"({first_line(error)}); set its input "
            "with --resize, --crop, --mean and --std"
        ) from error
    refuse_no_tensor(name, logits_1C)
    if tuple(logits_1C.shape) != (1, num_classes):
        raise TgrError(
            f"--model {name} answers one image with {tuple(logits_1C.shape)}, where logits of shape (1, {num_classes}) "
            f"are expected; {_advice_on_shape(entry, model, logits_1C, one_1CHW, num_classes)}"
        )
    if not logits_1C.is_floating_point():
        raise TgrError(f"--model {name} answers with {logits_1C.dtype}, where floating-point logits are expected")
    if num_classes > 1 and _are_probabilities(logits_1C):
        with torch.no_grad():
            blank_1C = model(torch.zeros_like(one_1CHW))  # logits of one image may sum to 1 by chance
        if _are_probabilities(blank_1C):
            raise TgrError(
                f"--model {name} answers with probabilities (none is below 0, and they sum to 1), where logits are "
                "expected: dLoss and Top2Diff would be those of a second softmax; leave the softmax at the end out of "
                "its forward"
            )
    if not torch.equal(logits_1C.nan_to_num(), again_1C.nan_to_num()):
        raise TgrError(
            f"--model {name} answers the same image differently each time in evaluation mode; take the randomness (a "
            "dropout that stays on?) out of its forward"
        )


def _refuse_fixed_batches(name: str, model: nn.Module, one_1CHW: Tensor) -> None:
    """Raise TgrError for an exported model that takes batches of one size alone: that of its example, by default."""
    if not any(isinstance(module, GraphModule) for module in model.modules()):
        return
    failures = {}
    for size in (1, 2):
        try:
            model(one_1CHW.repeat(size, *[1] * (one_1CHW.ndim - 1)))
        except Exception as error:  # a guard, or any operation that its shape does not fit
            failures[size] = str(error)
    guard = re.search(r"size\(\)\[0\] == (\d+)", " ".join(failures.values()))
    if guard is None and len(failures) != 1:  # none, or it does not fit images of this shape either
        return
    only = guard[1] if guard else next(size for size in (1, 2) if size not in failures)
    raise TgrError(
        f"--model {name} was exported for batches of {only} alone, and images come in batches of any size; export it "
        'with torch.export.export(…, dynamic_shapes=({0: torch.export.Dim("images")},))'
    )


def _are_probabilities(output_BC: Tensor) -> bool:
    off_B = (output_BC.double().sum(dim=1) - 1).abs()
    return bool((output_BC >= 0).all() and (off_B <= 8 * torch.finfo(output_BC.dtype).eps).all())


def refuse_no_tensor(name: str, output: Any) -> None:
    """Raise TgrError if a model's output is not a single tensor."""
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise TgrError(
            f"--model {name} answers an image with {'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}, where one tensor "
            f"of logits (images, classes) is expected; {_advice_on_output(output)}"
        )


def refuse_scripted(model: nn.Module, name: str) -> None:
    """Raise TgrError for a TorchScript module: faults cannot be injected into its operations."""
    if isinstance(model, torch.jit.ScriptModule):
        raise TgrError(
            f"--model {name} returns a scripted or traced module, whose operations cannot be struck; return the Python "
            "module that it was made from, with its weights loaded"
        )


def keep_input(model: nn.Module, x_BCHW: Tensor) -> Any:
    """Return the model's output; give it copies of its input from now on if it changes the input in place.

    Such as `x.sub_(mean)`.
    """
    given = x_BCHW.clone()
    output = model(given)
    if not torch.equal(given, x_BCHW):
        model.register_forward_pre_hook(_copied)
    return output


def _copied(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.clone() if isinstance(value, Tensor) else value for value in inputs)


def _images(count: int, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)


def _advice_on_output(output: Any) -> str:
    """Return the next step for an output that is no tensor: which part of it looks like the logits."""
    if hasattr(output, "logits"):
        return "let the function return a module whose forward gives the .logits of this alone"
    if isinstance(output, Mapping):
        return f"let its forward return the logits alone, one of {', '.join(map(str, output))}"
    if isinstance(output, tuple | list):
        shapes = ", ".join(
            str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__ for part in output
        )
        return f"let its forward return the logits alone; it returns {shapes}"
    return "let its forward return the logits alone"


def _advice_on_shape(entry: UserModel, model: nn.Module, logits: Tensor, one_1CHW: Tensor, num_classes: int) -> str:
    try:
        with torch.no_grad():
            two = tuple(model(torch.cat([one_1CHW, one_1CHW])).shape)
    except Exception:  # the second run only improves the message
        two = ()
    if two == (2, num_classes):
        return (
            f"it answers two with {two}, so its forward drops the axis of the images where there is one (a squeeze() "
            "without an axis?): use flatten(1)"
        )
    if logits.numel() == num_classes:
        return "let its forward flatten them, with flatten(1)"
    if entry.takes_num_classes():
        return "the function was called with num_classes, let its last layer have as many outputs"
    own = f" ({built_in.with_classes(two[1])})" if len(two) == 2 and two[0] == 2 else ""
    return entry.advice(own)
