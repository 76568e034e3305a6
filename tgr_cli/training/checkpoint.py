"""A training's checkpoint in a single file, written by atomic rename and verified before resuming.

A single file, including the best weights: a kill between two files could leave them at different epochs.
"""

import io
import os
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import flat
from tgr_cli.errors import TgrError, found_at
from tgr_cli.training import generators
from tgr_cli.training.optim import advance
from tgr_cli.training.state import Cost, Epoch, Leg, State
from tgr_cli.training.stored_state import record, require_alike, require_moments

VERSION = 3
# The file ends with the SHA-256 of its content: torch.load would read a flipped bit as another weight.
MARK = b"tgr-sha256:"
TRAILER = len(MARK) + 64
EPOCHS = "recipe.epochs"


@dataclass(frozen=True)
class ResumeFile:
    """A training's checkpoint file, and `identity`: everything that must be equal for the training to be the same.

    `other_epochs`: whether the training may have been planned for another number of epochs.
    """

    path: Path
    identity: Mapping[str, Any]
    other_epochs: bool = False

    def save(self, state: State, processes: Sequence[Mapping[str, Any]]) -> None:
        """Write the state by atomic rename; `processes` holds every process's `State.own`, by rank."""
        content = {
            "version": VERSION,
            "identity": flat(self.identity),
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "schedule": state.schedule.state_dict(),
            "scaler": state.scaler.state_dict(),
            "average": state.average.state_dict() if state.average is not None else None,
            "best": state.best,
            "legs": [asdict(leg) for leg in state.legs],
            "epochs": [asdict(epoch) for epoch in state.epochs],
            "costs": [asdict(cost) for cost in state.costs],
            "step": state.step,
            "seconds": state.seconds,
            "processes": [dict(own) for own in processes],
        }
        written = io.BytesIO()  # writing to a file, torch reports a full disk as its own RuntimeError
        torch.save(content, written)
        with store.replacing(self.path) as temporary, temporary.open("wb") as file:
            file.write(written.getbuffer())
            file.write(MARK + sha256(written.getbuffer()).hexdigest().encode())

    def restore(self, path: Path, state: State, rank: int = 0) -> None:
        """Load the state saved at `path` into the new `state` of process `rank`.

        The last leg of `state` has the number of epochs planned now. If it differs from the saved one, a new leg
        starts, with the learning rates of a training of that many epochs. Raises TgrError where the file is damaged,
        belongs to another training (naming the difference), where the model's parameters have changed, and where more
        epochs are finished than planned.
        """
        content = _read(path)
        differing = _differences(content["identity"], flat(self.identity), self.other_epochs)
        if differing:
            raise TgrError(
                f"{path} was begun with {differing}; resume it with the same options, "
                "or train from the start by leaving out --resume"
            )
        try:
            _load(state, content, rank)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
            raise TgrError(
                f"{path} does not fit the model that is trained now, although its options are the same; build the "
                "model as it was, or train from the start by leaving out --resume"
            ) from error
        planned, behind = state.legs[-1].epochs, len(state.epochs)
        if behind + (state.step > 0) > planned:
            raise TgrError(
                f"{path} has finished {behind} epochs{' and a part of the next' * (state.step > 0)}; give --epochs "
                f"{behind + 1} or more, or train from the start by leaving out --resume"
            )


def is_one(path: Path) -> bool:
    """Return whether the file at `path` looks like a training checkpoint, by its trailer."""
    try:
        if not path.is_file():  # opening a pipe would block until something writes to it
            return False
        with path.open("rb") as file:
            file.seek(-TRAILER, os.SEEK_END)
            return file.read(len(MARK)) == MARK
    except OSError:
        return False


def _read(path: Path) -> dict[str, Any]:
    damaged = f"{path} is damaged and cannot be read; train from the start by leaving out --resume"
    if not path.is_file():
        raise TgrError(f"{path} {found_at(path)}; train from the start by leaving out --resume")
    try:
        written = path.read_bytes()
        state, trailer = memoryview(written)[:-TRAILER], written[-TRAILER:]
        if trailer.startswith(MARK) and trailer != MARK + sha256(state).hexdigest().encode():
            raise TgrError(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of formats that are refused later with a clearer message
            content = torch.load(io.BytesIO(written), map_location="cpu", weights_only=True)
        version, identity = content["version"], content["identity"]
    except (
        *(pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError, OSError),
        *(AttributeError, AssertionError, MemoryError, OverflowError),
    ) as error:
        raise TgrError(damaged) from error
    if version != VERSION:
        raise TgrError(f"{path} has version {version}, this tgr reads {VERSION}; train from the start without --resume")
    if not isinstance(identity, dict) or not trailer.startswith(MARK):
        raise TgrError(damaged)
    return dict(content)


def _load(state: State, content: Mapping[str, Any], rank: int) -> None:
    legs = [record(Leg, values) for values in content["legs"]]
    epochs = [record(Epoch, values) for values in content["epochs"]]
    costs = [record(Cost, values) for values in content["costs"]]
    step, seconds, own = content["step"], content["seconds"], content["processes"][rank]
    _require_form(state, content, own)
    if [epoch.epoch for epoch in epochs] != list(range(1, len(epochs) + 1)):
        raise ValueError("epochs of other numbers")
    planned = state.legs[-1].epochs
    another = legs[-1].epochs != planned
    # Before loading the optimiser's state: the schedule needs the optimiser's initial learning rates.
    rates = advance(state.schedule, len(epochs)) if another else []
    state.model.load_state_dict(content["model"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.scaler.load_state_dict(content["scaler"])
    if another:
        for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        legs.append(Leg(after_epoch=len(epochs), after_step=step, epochs=planned))
    else:
        state.schedule.load_state_dict(content["schedule"])
    if state.average is not None:
        state.average.load_state_dict(content["average"])
    state.legs, state.epochs, state.step = legs, epochs, step
    state.costs, state.seconds = costs, seconds
    state.best = content["best"] if rank == 0 else None
    state.sums.copy_(own["sums"])
    state.generators = own["generators"]


def _require_form(state: State, content: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise ValueError where a part of the content has another form than the state that it is loaded into."""
    state_dicts = ("model", "optimizer", "schedule", "scaler", *(("average",) if state.average is not None else ()))
    for name in state_dicts:
        like = getattr(state, name).state_dict()
        require_alike(content[name], like | {"state": {}} if name == "optimizer" else like, name)
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    require_moments(content["optimizer"]["state"], parameters)
    require_alike(content["step"], 0, "step")
    require_alike(content["seconds"], 0.0, "seconds")
    require_alike(own["sums"], state.sums, "sums")
    if own["generators"] is not None:
        require_alike(own["generators"], generators.states(state.sums.device), "generators")
    if content["best"] is not None:
        require_alike(content["best"], state.result.state_dict(), "best")
    if min(content["step"], content["seconds"], *(leg["epochs"] - 1 for leg in content["legs"])) < 0:
        raise ValueError("a number below zero")


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], other_epochs: bool) -> str:
    names = [
        name
        for name in {**found, **wanted}
        if found.get(name) != wanted.get(name) and not (other_epochs and name == EPOCHS)
    ]
    return ", ".join(f"{name} {found.get(name)}, where {wanted.get(name)} is asked for" for name in names)
