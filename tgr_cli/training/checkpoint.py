"""The state of an unfinished training: written whole, in mid-epoch too, and checked before the training goes on."""

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import flat
from tgr_cli.errors import TgrError

VERSION = 2


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


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an epoch's training cost, validation left out: it differs from run to run, and is no part of the result.

    `peak_bytes` is the most memory that was allocated on a CUDA device, else what the first process held at most.
    """

    epoch: int
    seconds: float
    images_per_second: float
    peak_bytes: int


@dataclass(kw_only=True)
class State:
    """All that a training changes. `step` counts the finished steps of the epoch that is under way.

    `sums`: loss (nats) and correct predictions, each summed over the images of that epoch that this process has seen;
    `seconds` it took so far. `generators`: the states of torch's generators; None at the start, which seeds them.
    `saved`: how many epochs, and steps of the next, are in the checkpoint.
    """

    model: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: GradScaler
    average: AveragedModel | None
    sums: Tensor
    epochs: list[Epoch] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    generators: list[Tensor] | None = None
    saved: tuple[int, int] = (0, 0)

    @property
    def own(self) -> dict[str, Any]:
        """Return what each process has for itself."""
        return {"sums": self.sums.cpu(), "generators": self.generators}

    @property
    def result(self) -> nn.Module:
        """Return the network that is validated and kept: the average where there is one."""
        return self.model if self.average is None else self.average.module


@dataclass(frozen=True)
class Checkpoint:
    """The file that lets a training go on, and `identity`: all that must be equal for it to be the same training."""

    path: Path
    identity: Mapping[str, Any]

    def save(self, state: State, processes: Sequence[Mapping[str, Any]]) -> None:
        """Write the state, whole or not at all; `processes` holds every process's `State.own`, by rank."""
        content = {
            "version": VERSION,
            "identity": flat(self.identity),
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "schedule": state.schedule.state_dict(),
            "scaler": state.scaler.state_dict(),
            "average": state.average.state_dict() if state.average is not None else None,
            "epochs": [asdict(epoch) for epoch in state.epochs],
            "costs": [asdict(cost) for cost in state.costs],
            "step": state.step,
            "seconds": state.seconds,
            "processes": [dict(own) for own in processes],
        }
        written = io.BytesIO()  # to a file, torch tells of a full disk in a RuntimeError of its own
        torch.save(content, written)
        with store.replacing(self.path) as temporary:
            temporary.write_bytes(written.getbuffer())

    def restore(self, state: State, rank: int = 0) -> None:
        """Load what was saved into the `state` of process `rank`.

        Raises TgrError where the file is damaged, where it belongs to another training, naming what differs, and where
        the model was built in another way since.
        """
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            version, identity = content["version"], content["identity"]
        except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError, OSError) as error:
            raise TgrError(
                f"{self.path} is damaged and cannot be read; train from the start by leaving out --resume"
            ) from error
        if version != VERSION:
            raise TgrError(
                f"{self.path} has version {version}, this tgr reads {VERSION}; train from the start without --resume"
            )
        differing = _differences(identity, flat(self.identity))
        if differing:
            raise TgrError(
                f"{self.path} was begun with {differing}; resume it with the same options, "
                "or train from the start by leaving out --resume"
            )
        try:
            self._load(state, content, rank)
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise TgrError(
                f"{self.path} does not fit the model that is trained now, although its options are the same; build the "
                "model as it was, or train from the start by leaving out --resume"
            ) from error

    @staticmethod
    def _load(state: State, content: Mapping[str, Any], rank: int) -> None:
        state.model.load_state_dict(content["model"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.schedule.load_state_dict(content["schedule"])
        state.scaler.load_state_dict(content["scaler"])
        if state.average is not None:
            state.average.load_state_dict(content["average"])
        state.epochs = [Epoch(**values) for values in content["epochs"]]
        state.costs = [Cost(**values) for values in content["costs"]]
        state.step, state.seconds = content["step"], content["seconds"]
        own = content["processes"][rank]
        state.sums.copy_(own["sums"])
        state.generators = own["generators"]


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {found.get(name)}, where {wanted.get(name)} is asked for" for name in names)
