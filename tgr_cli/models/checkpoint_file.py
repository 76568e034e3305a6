"""Reading checkpoint files (safetensors or torch.save) without executing code in them."""

import argparse
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from tgr_cli.errors import TgrError, found_at, printable

LARGER = 4  # limit on a zip's unpacked size relative to the file; torch itself does not compress


class _Ignored:
    """Stand-in for a class whose objects hold no weights; its arguments are discarded."""

    def __new__(cls, *_: object) -> "_Ignored":
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


class _IgnoredDict:
    """Stand-in for a dict subclass; its items are kept in a plain dict."""

    def __new__(cls, *_: object) -> Any:
        return {}


# Plain data that training scripts store beside the weights: best accuracies, paths, hyperparameters. The stand-ins
# above are constructed in place of the real classes.
INERT: dict[str, type] = {
    **{
        f"numpy.{core}.multiarray.{name}": _Ignored for core in ("core", "_core") for name in ("scalar", "_reconstruct")
    },
    **dict.fromkeys(("numpy.dtype", "numpy.ndarray", "datetime.datetime", "datetime.timedelta"), _Ignored),
    **{
        f"{module}.{kind}Path": _Ignored
        for module in ("pathlib", "pathlib._local")
        for kind in ("Posix", "Windows", "")
    },
    **{
        f"{module}.AttributeDict": _IgnoredDict
        for module in (
            "pytorch_lightning.utilities.parsing",
            "lightning_fabric.utilities.data",
            "lightning.fabric.utilities.data",
        )
    },
}


def read(path: Path) -> Any:
    """Return the content of a checkpoint, tensors on the CPU: a dict of tensors, or the object given to torch.save.

    The format is detected from the content. Raises TgrError where the file is missing or damaged, or needs unpickling.
    """
    if not path.is_file():
        raise TgrError(
            f"the checkpoint {path} {found_at(path)}; name a safetensors file or a state dict saved by torch"
        )
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise TgrError(f"the checkpoint {path} cannot be read ({error.strerror}); check its permissions") from error
    if path.name.endswith(".index.json"):
        raise TgrError(
            f"the checkpoint {path} is the index of weights in several files; write the tensors of all of them into "
            "one with safetensors.torch.save_file, and give that"
        )
    if start[8:] == b"{":
        return _read_safetensors(path)
    if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
        return read_torch(path, f"the checkpoint {path}")
    raise TgrError(
        f"the checkpoint {path} is neither a safetensors file nor a state dict saved by torch; give one that is"
    )


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # a damaged file may raise any error of safetensors, torch, or memory allocation
        if not isinstance(error, SafetensorError | OSError | ValueError | KeyError | MemoryError | RuntimeError):
            raise
        raise TgrError(f"the checkpoint {path} is not a whole safetensors file; copy or write it again") from error


def read_torch(path: Path, what: str) -> Any:
    """Return the object that torch.save wrote to `path`, loaded with `weights_only`; `what` names the file in errors.

    Raises TgrError where the file is damaged, or holds objects that need code of others to restore.
    """
    _refuse_programs(path, what)
    _refuse_bomb(path, what)
    stand_ins: list[Any] = [(kind, name) for name, kind in INERT.items()]
    try:
        # Training scripts store their arguments in the checkpoint; an argparse.Namespace is plain data.
        with torch.serialization.safe_globals([argparse.Namespace, *stand_ins]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of formats that are refused below with a clearer message
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wants = re.search(r"GLOBAL (\S+)", str(error))
        if wants is None:
            raise TgrError(
                f"{what} is damaged, or a pickle that torch did not write and tgr does not open; write its state dict "
                "with torch.save or as safetensors"
            ) from error
        if wants[1].startswith("torchao."):
            raise no_plain_tensors(what, wants[1]) from error
        raise TgrError(
            f"{what} wants to unpickle {printable(wants[1])}, which could run foreign code; save its state_dict() "
            "alone, best as safetensors: where you trust the file, load it with torch.load(FILE, weights_only=False) "
            "and give its state dict to safetensors.torch.save_file"
        ) from error
    except Exception as error:  # torch does not validate files: a damaged one may raise anything
        raise TgrError(f"{what} is truncated or no state dict saved by torch; copy or write it again") from error


def no_plain_tensors(what: str, kind: str) -> TgrError:
    """Return the error for a checkpoint with tensors of a class of their own, such as torchao's."""
    return TgrError(
        f"{what} holds tensors of a class of their own ({printable(kind)}), where plain ones are expected; where you "
        "trust the file, load it in the function that --model names, and leave out --checkpoint"
    )


def _refuse_programs(path: Path, what: str) -> None:
    """Raise TgrError for a model with its code, as torch.export, AOTInductor and TorchScript save it."""
    try:
        with zipfile.ZipFile(path) as parts:
            names = {part for name in parts.namelist() for part in (name, name.partition("/")[2])}
    except Exception:  # not a zip, or a damaged one, which torch reports
        return
    if names & {"archive_format", "serialized_exported_program.json"}:
        raise TgrError(
            f"{what} is a program that torch.export saved, no state dict, and loading one can run any code; where you "
            "trust it, let the function that --model names return torch.export.load(FILE).module(), and leave out "
            "--checkpoint"
        )
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        raise TgrError(
            f"{what} is a TorchScript program, no state dict; where you trust it, save "
            "torch.jit.load(FILE).state_dict() with torch.save or as safetensors, and give that"
        )


def _refuse_bomb(path: Path, what: str) -> None:
    """Raise TgrError for a decompression bomb: a zip that unpacks to much more than its size."""
    try:
        with zipfile.ZipFile(path) as parts:
            whole = sum(part.file_size for part in parts.infolist())
    except Exception:  # not a zip, or a damaged one, which torch reports
        return
    if whole > LARGER * path.stat().st_size + 2**20:
        raise TgrError(
            f"{what} unpacks to {whole:,} bytes from {path.stat().st_size:,}, which torch.save does not write; "
            "write it again with torch.save"
        )
