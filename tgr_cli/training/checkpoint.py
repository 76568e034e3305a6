"""The state of an unfinished training: written whole after each epoch, and checked before it goes on."""

import io
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tgr_cli.artifacts import store
from tgr_cli.errors import TgrError

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch came to: the columns of a `training` row."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_top1: float
    val_loss: float
    val_top1: float
    val_top5: float


@dataclass(frozen=True)
class Checkpoint:
    """The file that lets a training go on, and `identity`: all that must be equal for it to be the same training.

    It holds weights, optimiser, schedule and the finished epochs' rows. There is no generator in it: every random
    draw of an epoch is keyed by the seed and the epoch's number.
    """

    path: Path
    identity: Mapping[str, Any]

    def save(self, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler, epochs: list[Epoch]) -> None:
        """Write the state, whole or not at all."""
        state = {
            "version": VERSION,
            "identity": _flat(self.identity),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "epochs": [asdict(epoch) for epoch in epochs],
        }
        written = io.BytesIO()  # to a file, torch tells of a full disk in a RuntimeError of its own
        torch.save(state, written)
        with store.replacing(self.path) as temporary:
            temporary.write_bytes(written.getbuffer())

    def restore(self, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler, device: str) -> list[Epoch]:
        """Load the state into all three and return the finished epochs.

        Raises TgrError where the file is damaged, and where it belongs to another training, naming what differs.
        """
        try:
            state = torch.load(self.path, map_location=device, weights_only=True)
            version, identity = state["version"], state["identity"]
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, OSError) as error:
            raise TgrError(
                f"{self.path} is damaged and cannot be read; train from the start by leaving out --resume"
            ) from error
        if version != VERSION:
            raise TgrError(
                f"{self.path} has version {version}, this tgr reads {VERSION}; train from the start without --resume"
            )
        differing = _differences(identity, _flat(self.identity))
        if differing:
            raise TgrError(
                f"{self.path} was begun with {differing}; resume it with the same options, "
                "or train from the start by leaving out --resume"
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        return [Epoch(**values) for values in state["epochs"]]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {found.get(name)}, where {wanted.get(name)} is asked for" for name in names)
