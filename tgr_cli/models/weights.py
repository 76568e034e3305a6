"""Weights on disk and in memory: reading without unpickling, loading, writing, and their fingerprint."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from tgr_cli.artifacts import store
from tgr_cli.errors import TgrError
from tgr_cli.models.checkpoint import Checkpoint


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file that tgr wrote, or of a bare state dict, on the CPU, by name.

    Raises TgrError where the file is missing or damaged, or holds anything else.
    """
    checkpoint = Checkpoint.read(path)
    return {entry.name: entry.tensor for entry in checkpoint.entries}


def load(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load `state`, whose names and shapes are the model's; other floating-point precisions are converted.

    Files may hold no versions of the modules. Names and shapes show that these weights are of today's; torch would take
    them for those of the first. Counters of batches, which old checkpoints lack, may be missing.
    """
    versioned: OrderedDict[str, Tensor] = OrderedDict(state)
    versioned._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    model.load_state_dict(versioned, strict=False)


def describe(tensor: Tensor) -> str:
    """Return a tensor's kind of number and its shape, as float32[10×64]."""
    kind = "quantised " if tensor.is_quantized else "" if tensor.layout is torch.strided else "sparse "
    dtype = str(tensor.dtype).removeprefix("torch.")
    return f"{kind}{dtype}[{'×'.join(map(str, tensor.shape))}]{' without values' if tensor.is_meta else ''}"


def check_finite(model: nn.Module, what: str) -> None:
    """Raise TgrError naming the first parameter or buffer of `model` that holds a NaN or an infinity."""
    for name, value in model.state_dict().items():
        for tensor in _within(value):
            finite = torch.isfinite(tensor.dequantize() if tensor.is_quantized else tensor)
            if not bool(finite.all()):
                bad = int((~finite).sum())
                raise TgrError(f"{what} has {bad:,} NaN or infinite values in {name}; train or fetch it again")


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all parameters and buffers, sorted by name.

    Quantised layers keep their weights in objects of their own, which torch shows in the state dict alone.
    """
    tensors = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    packed = {
        f"{name}.{number}": tensor
        for name, value in model.state_dict().items()
        if name not in tensors
        for number, tensor in enumerate(_within(value))
    }
    digest = hashlib.sha256()
    for name, tensor in sorted((tensors | packed).items()):
        if tensor.is_quantized:
            digest.update(str(torch.dequantize(tensor).tolist()).encode())
            tensor = tensor.int_repr()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def differing(model: nn.Module, other: nn.Module) -> list[str]:
    """Return the names of the tensors in which two networks of one kind differ."""
    theirs = other.state_dict()
    return [
        name
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
        and isinstance(theirs.get(name), Tensor)
        and not (value.shape == theirs[name].shape and _same(value, theirs[name]))
    ]


def _same(left: Tensor, right: Tensor) -> bool:
    return bool(((left == right) | ((left != left) & (right != right))).all())  # NaN is the same as NaN here


def _within(value: object) -> Iterator[Tensor]:
    """Give the tensors in an entry of a state dict: itself, or those of a packed layer."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _within(part)


def save(model: nn.Module, path: Path) -> Path:
    """Write the model's state dict as safetensors, whole or not at all, and return the path."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    with store.replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors))
    return path


def dtype(model: nn.Module) -> torch.dtype:
    """Return the format the model computes in: that of its first floating-point parameter, else float32."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def parameters(model: nn.Module) -> int:
    """Return the number of the model's parameters (buffers not counted)."""
    return sum(parameter.numel() for parameter in model.parameters())
