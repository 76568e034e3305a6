"""All that a training changes, and what its epochs came to."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel


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


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A part of a training that was planned for `epochs` epochs in all, as its learning rates were.

    It began after `after_epoch` epochs and `after_step` steps of the next. A training has a second leg where it was
    resumed with another number of epochs.
    """

    after_epoch: int = 0
    after_step: int = 0
    epochs: int


@dataclass(kw_only=True)
class State:
    """All that a training changes. `step` counts the finished steps of the epoch that is under way.

    `sums`: loss (nats) and correct predictions, each summed over the images of that epoch that this process has seen;
    `seconds` it took so far. `generators`: the states of torch's generators; None at the start, which seeds them.
    `best`: the state dict, on the CPU, of the epoch that was best on the evaluation images; only the first process has
    it. `saved`: how many epochs, and steps of the next, are in the checkpoint; `resumed`: how many epochs were behind
    it when this process began.
    """

    model: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: GradScaler
    average: AveragedModel | None
    sums: Tensor
    legs: list[Leg]
    epochs: list[Epoch] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    step: int = 0
    seconds: float = 0.0
    generators: list[Tensor] | None = None
    saved: tuple[int, int] = (0, 0)
    resumed: int = 0

    @property
    def own(self) -> dict[str, Any]:
        """Return what each process has for itself."""
        return {"sums": self.sums.cpu(), "generators": self.generators}

    @property
    def result(self) -> nn.Module:
        """Return the network that is validated and kept: the average where there is one."""
        return self.model if self.average is None else self.average.module

    def keep_best(self) -> None:
        """Copy the weights as they are now into `best`."""
        kept = self.result.state_dict()  # a dict of its own, which also holds the versions of the modules' formats
        for name, tensor in kept.items():
            kept[name] = tensor.detach().to("cpu", copy=True)
        self.best = kept
