"""Weights on disk and in memory: reading without unpickling, loading, writing, and their fingerprint."""

import argparse
import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tgr_cli.artifacts import store
from tgr_cli.errors import TgrError

WRAPPERS = ("state_dict", "model")
COUNTER = "num_batches_tracked"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, on the CPU, by name: safetensors, or a state dict saved by torch.

    The format is told by the content. `{"state_dict": …}` and `{"model": …}` are opened, and a `module.` before every
    name (DataParallel) is dropped. Raises TgrError where the file is missing, damaged, holds no plain tensors, or
    wants to be unpickled.
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise TgrError(f"the checkpoint {path} {found}; name a safetensors file or a state dict saved by torch")
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise TgrError(f"the checkpoint {path} cannot be read ({error.strerror}); check its permissions") from error
    if start[8:] == b"{":
        content: Any = _read_safetensors(path)
    elif start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
        content = _read_torch(path)
    else:
        raise TgrError(f"the checkpoint {path} is neither a safetensors file nor a state dict saved by torch")
    return _tensors(path, content)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise TgrError(f"the checkpoint {path} is not a whole safetensors file; copy or write it again") from error


def _read_torch(path: Path) -> Any:
    try:
        # Training scripts keep their arguments in the checkpoint; a Namespace is plain data.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of formats that are refused below, in our words
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wants = re.search(r"GLOBAL (\S+)", str(error))
        if wants is None:
            raise TgrError(
                f"the checkpoint {path} is damaged, or a pickle that torch did not write and tgr does not open; write "
                "its state dict with torch.save or as safetensors"
            ) from error
        raise TgrError(
            f"the checkpoint {path} wants to unpickle {wants[1]}, which could run foreign code; save its state_dict() "
            "alone, best as safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
        raise TgrError(
            f"the checkpoint {path} is truncated or no state dict saved by torch; copy or write it again"
        ) from error


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    while isinstance(content, Mapping) and (inner := [w for w in WRAPPERS if isinstance(content.get(w), Mapping)]):
        content = content[inner[0]]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise TgrError(f"the checkpoint {path} holds no tensors; a state dict (names and tensors) is expected")
    for name, value in content.items():
        plain = isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized
        if not isinstance(name, str) or not plain:
            raise TgrError(
                f'the checkpoint {path} holds a {type(value).__name__} under "{name}", where a plain tensor is '
                "expected; save the model's state_dict() alone"
            )
    prefix = "module." if all(name.startswith("module.") for name in content) else ""
    return {name.removeprefix(prefix): value for name, value in content.items()}


def load_state(model: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load `state` into `model`, strictly; other floating-point precisions are converted to the model's.

    `what` names the weights in errors. Counters of batches, which old checkpoints lack, may be missing. Raises TgrError
    naming the first missing, unexpected and wrongly shaped (or typed) entry.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(COUNTER)]
    unexpected = [name for name in state if name not in own]
    wrong = [name for name in own if name in state and _kind(own[name]) != _kind(state[name])]
    complaints = []
    if missing:
        complaints.append(f"lacks {missing[0]}{_more(missing)}")
    if unexpected:
        complaints.append(f"has {unexpected[0]}{_more(unexpected)}, which the model has not")
    if wrong:
        name = wrong[0]
        complaints.append(
            f"has {name} as {_describe(state[name])} where the model has {_describe(own[name])}{_more(wrong)}"
        )
    if complaints:
        raise TgrError(f"{what} does not fit the model: it {'; it '.join(complaints)}; check --model")
    model.load_state_dict(state, strict=False)


def _kind(tensor: Tensor) -> tuple[torch.Size, bool]:
    return tensor.shape, tensor.is_floating_point()


def _describe(tensor: Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return f"{dtype}[{'×'.join(map(str, tensor.shape))}]"


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1:,} more)" if len(names) > 1 else ""


def check_finite(model: nn.Module, what: str) -> None:
    """Raise TgrError naming the first parameter or buffer of `model` that holds a NaN or an infinity."""
    for name, tensor in model.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise TgrError(f"{what} has {bad:,} NaN or infinite values in {name}; train or fetch it again")


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all parameters and buffers, sorted by name."""
    tensors = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


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
