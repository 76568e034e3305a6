"""Weights on disk and in memory: reading without unpickling, loading, saving, and their fingerprint."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from tgr_cli.artifacts import store
from tgr_cli.errors import TgrError
from tgr_cli.guards.tensors import is_expanded
from tgr_cli.models.checkpoint import CheckpointTensors


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors by name, on the CPU, from a safetensors file written by tgr or a bare state dict.

    Raises TgrError where the file is missing, damaged, or has other content.
    """
    checkpoint = CheckpointTensors.read(path)
    return {entry.name: entry.tensor for entry in checkpoint.entries}


def load(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load `state`, whose names and shapes must be the model's; floating-point dtypes are converted to the model's.

    A file without module versions would be taken by torch for the oldest version. As its names and shapes are current,
    it gets the model's versions. BatchNorm's batch counters, which old checkpoints lack, may be missing. Buffers
    that are expanded from fewer values get memory of their own.
    """
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and is_expanded(buffer):
                module._buffers[name] = buffer.clone(memory_format=torch.contiguous_format)
    versioned: OrderedDict[str, Tensor] = OrderedDict(state)
    versioned._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    model.load_state_dict(versioned, strict=False)


def describe(tensor: Tensor) -> str:
    """Return a tensor's dtype and shape as text, such as float32[10×64]."""
    kind = "quantised " if tensor.is_quantized else "" if tensor.layout is torch.strided else "sparse "
    dtype = str(tensor.dtype).removeprefix("torch.")
    return f"{kind}{dtype}[{'×'.join(map(str, tensor.shape))}]{' without values' if tensor.is_meta else ''}"


def check_finite(model: nn.Module, what: str) -> None:
    """Raise TgrError naming the first parameter or buffer of `model` that contains NaN or infinity."""
    for name, value in model.state_dict().items():
        for tensor in _within(value):
            finite = torch.isfinite(_readable(tensor))
            if not bool(finite.all()):
                bad = int((~finite).sum())
                raise TgrError(f"{what} has {bad:,} NaN or infinite values in {name}; train or fetch it again")


def _readable(tensor: Tensor) -> Tensor:
    """Return a tensor's values in a type that torch computes with, which it does not in float8."""
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize == 1 else tensor


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes of all parameters and buffers, sorted by name.

    Read from the state dict: quantised layers keep packed weights that are not among the parameters and buffers.
    """
    named = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    packed = {
        f"{name}.{number}": tensor
        for name, value in model.state_dict().items()
        if name not in named
        for number, tensor in enumerate(_within(value))
    }
    digest = hashlib.sha256()
    parts = {f"{name}{part}": value for name, whole in (named | packed).items() for part, value in _inside(whole)}
    for name, tensor in sorted(parts.items()):
        if tensor.is_quantized:
            digest.update(str(torch.dequantize(tensor).tolist()).encode())
            tensor = tensor.int_repr()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    for graph in (module for module in model.modules() if isinstance(module, GraphModule)):
        digest.update(graph.code.encode())  # scales of activations stand in the code of a quantised model
    for module in model.modules():
        if isinstance(definition := getattr(module, "definition", None), str):  # what a network from a file computes
            digest.update(definition.encode())
    return digest.hexdigest()


def differing(model: nn.Module, other: nn.Module) -> list[str]:
    """Return the names of the tensors that differ between two networks of the same architecture."""
    theirs = other.state_dict()
    return [
        name
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
        and isinstance(theirs.get(name), Tensor)
        and not (value.shape == theirs[name].shape and all(map(_same, _within(value), _within(theirs[name]))))
    ]


def _same(left: Tensor, right: Tensor) -> bool:
    left, right = _readable(left), _readable(right)
    return bool(((left == right) | ((left != left) & (right != right))).all())  # NaN equals NaN here


def _within(value: object) -> Iterator[Tensor]:
    """Yield the tensors in a state dict entry: the tensor itself, or those of a packed layer."""
    if isinstance(value, Tensor):
        yield from (tensor for _, tensor in _inside(value))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _within(part)


def _inside(tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield a tensor, or those that one is made of which holds integers with their scale; with the part's name."""
    if not is_traceable_wrapper_subclass(tensor):
        yield "", tensor
        return
    for name in tensor.__tensor_flatten__()[0]:
        for part, inner in _inside(getattr(tensor, name)):
            yield f".{name}{part}", inner


def tensors(model: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors that a model's parameters and buffers are, or are made of."""
    for value in (*model.parameters(), *model.buffers()):
        yield from _within(value)


def save(model: nn.Module, path: Path) -> Path:
    """Write the model's state dict as safetensors by atomic rename, and return the path."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    with store.replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors))
    return path


def dtype(model: nn.Module) -> torch.dtype:
    """Return the dtype of the model's first floating-point parameter, else float32."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def number_format(model: nn.Module) -> str:
    """Return the number format of the model's parameters, such as "float32", as recorded in artifacts."""
    return str(dtype(model)).removeprefix("torch.")


def parameters(model: nn.Module) -> int:
    """Return the number of the model's parameters (buffers not counted)."""
    return sum(parameter.numel() for parameter in model.parameters())
