"""How weights move: the optimiser and the schedule of its learning rate, both torch's own."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR, StepLR

from tgr_cli.errors import TgrError, did_you_mean

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("step", "cosine", "constant")

# The first warm-up epoch runs at this share of the full rate (torchvision's reference recipes).
WARMUP_START = 0.01


@dataclass(frozen=True, kw_only=True)
class OptimOptions:
    """What moves the weights; raises TgrError for a value that has no meaning.

    `lr` is the rate after the warm-up. `step` multiplies it by `gamma` every `step_size` epochs, `cosine` takes it to
    `min_lr` at the end, `constant` keeps it; `warmup_epochs` of linear increase come first.
    """

    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    step_size: int = 30
    gamma: float = 0.1
    warmup_epochs: int = 0
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        one_of("--optimizer", self.optimizer, OPTIMIZERS)
        one_of("--schedule", self.schedule, SCHEDULES)
        # Written so that NaN fails too.
        checks = {
            "--lr": (self.lr, 0 < self.lr < float("inf"), "above 0"),
            "--momentum": (self.momentum, 0 <= self.momentum < 1, "in [0, 1)"),
            "--weight-decay": (self.weight_decay, 0 <= self.weight_decay < float("inf"), "0 or more"),
            "--step-size": (self.step_size, self.step_size >= 1, "1 or more"),
            "--gamma": (self.gamma, 0 < self.gamma <= 1, "in (0, 1]"),
            "--warmup-epochs": (self.warmup_epochs, self.warmup_epochs >= 0, "0 or more"),
            "--min-lr": (self.min_lr, 0 <= self.min_lr <= self.lr, "in [0, --lr]"),
        }
        for option, (value, holds, expected) in checks.items():
            if not holds:
                raise TgrError(f"{option} is {value:g}; it must be {expected}")


def one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Return nothing; raises TgrError where `value` is none of the option's `choices`."""
    if value not in choices:
        hint = did_you_mean(value, choices)
        raise TgrError(f'{option} "{value}" is unknown; it must be one of {", ".join(choices)}.{hint}')


def optimiser(model: nn.Module, options: OptimOptions) -> Optimizer:
    """Return the optimiser of `model`'s parameters.

    The scale of a text-guided head (`logit_scale`) is left out of the weight decay, which would pull the softmax
    towards uniform; like all else that differs between heads, it is nothing the baseline has.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    decayed = [parameter for name, parameter in named if name != "logit_scale"]
    free = [parameter for name, parameter in named if name == "logit_scale"]
    groups: list[dict[str, Any]] = [{"params": decayed}, *([{"params": free, "weight_decay": 0.0}] if free else [])]
    if options.optimizer == "sgd":
        return SGD(groups, lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay, fused=True)
    return AdamW(groups, lr=options.lr, weight_decay=options.weight_decay, fused=True)


def schedule(optimizer: Optimizer, options: OptimOptions, epochs: int) -> LRScheduler:
    """Return the schedule of the learning rate, to be stepped once after each of `epochs` epochs."""
    rest = max(1, epochs - options.warmup_epochs)
    main: LRScheduler
    if options.schedule == "step":
        main = StepLR(optimizer, options.step_size, options.gamma)
    elif options.schedule == "cosine":
        main = CosineAnnealingLR(optimizer, rest, options.min_lr)
    else:
        main = ConstantLR(optimizer, factor=1.0, total_iters=0)
    if not options.warmup_epochs:
        return main
    warmup = LinearLR(optimizer, WARMUP_START, total_iters=options.warmup_epochs)
    return SequentialLR(optimizer, [warmup, main], [options.warmup_epochs])
