"""The mutable state of a training, and the metrics of its epochs."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Metrics of one epoch: the columns of a `training` row."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_top1: float
    val_loss: float
    val_top1: float
    val_top5: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Time and memory of an epoch's training, without validation; not part of the reproducible result.

    `peak_bytes` is the peak of allocated CUDA memory, else the peak resident size of the first process.
    """

    epoch: int
    seconds: float
    images_per_second: float
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A part of a training whose learning-rate schedule was planned for `epochs` epochs in total.

    It started after `after_epoch` epochs and `after_step` steps of the next. Resuming with another number of epochs
    adds a leg.
    """

    after_epoch: int = 0
    after_step: int = 0
    epochs: int


@dataclass(kw_only=True)
class State:
    """The mutable state of a training. `step` is the number of finished steps in the current epoch.

    `sums`: loss (nats) and correct predictions, summed over this process's images in the current epoch; `seconds`: its
    duration so far. `generators`: states of torch's generators, None before they are seeded. `best`: state dict, on the
    CPU, of the epoch with the best validation result; in the first process only. `saved`: epochs, and steps of the
    next, in the checkpoint; `resumed`: epochs finished before this process started.
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
        """Return the state that differs between processes."""
        return {"sums": self.sums.cpu(), "generators": self.generators}

    @property
    def result(self) -> nn.Module:
        """Return the network to validate and save: the average if there is one."""
        return self.model if self.average is None else self.average.module

    def keep_best(self) -> None:
        """Copy the current weights into `best`."""
        kept = self.result.state_dict()  # a new dict, with the modules' versions
        for name, tensor in kept.items():
            kept[name] = tensor.detach().to("cpu", copy=True)
        self.best = kept
