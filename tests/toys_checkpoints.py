"""Checkpoints saved as torch does and loaded into a toy network, with what was said."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.models import weights
from tgr_cli.models.checkpoint import CheckpointTensors
from tgr_cli.models.from_state import restore
from tgr_cli.reporting import Reporter

State = dict[str, Tensor]
PATH = Path("weights.of-any-name")


class Notes(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def restored(content: object, model: nn.Module | None = None, key: str | None = None) -> tuple[nn.Module, list[str]]:
    """Save the content as torch does and load it into a model with other weights; return that and what was said."""
    torch.save(content, PATH)
    notes = Notes()
    found = restore(model or toy_net(9), CheckpointTensors.read(PATH), key=key, reporter=notes)
    return found.model, notes.said


def refused(content: object, model: nn.Module | None = None, key: str | None = None) -> str:
    with pytest.raises(TgrError) as caught:
        restored(content, model, key)
    return str(caught.value)


def before(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def fits_toy(model: nn.Module, seed: int = 3) -> bool:
    return weights.fingerprint(model) == weights.fingerprint(toy_net(seed))
