"""A toy whose process is killed in the middle of its training, as a power cut or a scheduler would."""

import os
import signal

import torch
from torch import nn
from toys import ToyNet


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
