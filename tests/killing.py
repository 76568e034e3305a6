"""Processes that are killed in the middle of a training or campaign, as a power cut or a scheduler would."""

import os
import signal
from pathlib import Path

import torch
from processes import command_line
from torch import nn
from toys import ToyNet

from tgr_cli.artifacts import store


class Killing(ToyNet):
    """Sends SIGKILL to its own process in the forward pass that KILL_AT="rank:pass" names, the first time it runs."""

    passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.passes += 1
            again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
            if not again and os.environ.get("KILL_AT") == f"{os.environ.get('RANK', 0)}:{self.passes}":
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


def build(num_classes: int = 3) -> nn.Module:
    """The toy as a user's own model: `--model killing:build`."""
    torch.manual_seed(0)
    return Killing(num_classes)


def tgr_after(replacements: int, *arguments: str) -> None:
    """Run `tgr ARGUMENTS`, and SIGKILL it when it has put so many files in their place and is about to put another."""
    left, replace = replacements, store.Path.replace

    def counted(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    store.Path.replace = counted  # type: ignore[method-assign]
    command_line(*arguments)
