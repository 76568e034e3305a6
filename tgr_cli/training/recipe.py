"""A training recipe as data: all hyperparameters, and the user's overrides."""

from dataclasses import asdict, dataclass

from tgr_cli.data.preprocessing import AUGMENTATIONS, INTERPOLATIONS
from tgr_cli.errors import TgrError, one_of

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("step", "cosine", "constant")
DECAYED = ("all", "weights")
PRECISIONS = ("none", "fp16", "bf16")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyperparameters of a training; raises TgrError for an invalid value. The defaults are `--recipe none`.

    `batch_size`: images per step and process. `lr_batch`: the total images per step that `lr` and `min_lr` are given
    for (None: no scaling). `lr` is the learning rate after the linear warm-up of `warmup_epochs`; the schedule `step`
    multiplies it by `gamma` every `step_size` epochs, `cosine` lowers it to `min_lr` at the end, `constant` keeps it.
    `decay`: weight decay applies to `all` parameters, or to `weights` (no biases, norms and position tables).
    `clip_grad_norm`, `mixup`, `cutmix` (their α) and `ema_decay` are off at 0. `repeats`: augmented copies of an image
    per epoch; an epoch then has as many fewer distinct images. `crop`, `resize`, `interpolation`: None for the model's
    own.
    """

    epochs: int = 30
    batch_size: int = 128
    lr_batch: int | None = None
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay: str = "all"
    schedule: str = "cosine"
    step_size: int = 30
    gamma: float = 0.1
    warmup_epochs: int = 0
    min_lr: float = 0.0
    clip_grad_norm: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    augment: str = "none"
    random_erasing: float = 0.0
    repeats: int = 1
    ema_decay: float = 0.0
    ema_every: int = 32
    amp: str = "none"
    sync_bn: bool = False
    resize: int | None = None
    crop: int | None = None
    interpolation: str | None = None

    def __post_init__(self) -> None:
        one_of("--optimizer", self.optimizer, OPTIMIZERS)
        one_of("--schedule", self.schedule, SCHEDULES)
        one_of("--decay", self.decay, DECAYED)
        one_of("--augment", self.augment, AUGMENTATIONS)
        one_of("--amp", self.amp, PRECISIONS)
        one_of("--interpolation", self.interpolation, INTERPOLATIONS)
        # NaN fails every condition. Torch's float32 Beta distribution, for mixing, fails outside 1e-6 to 1e6.
        checks = {
            "--epochs": (self.epochs, self.epochs >= 1, "1 or more"),
            "--batch-size": (self.batch_size, self.batch_size >= 1, "1 or more"),
            "--lr": (self.lr, 0 < self.lr <= 1000, "above 0 and at most 1000"),
            "--momentum": (self.momentum, 0 <= self.momentum < 1, "in [0, 1)"),
            "--weight-decay": (self.weight_decay, 0 <= self.weight_decay <= 1000, "from 0 to 1000"),
            "--step-size": (self.step_size, self.step_size >= 1, "1 or more"),
            "--gamma": (self.gamma, 0 < self.gamma <= 1, "in (0, 1]"),
            "--warmup-epochs": (self.warmup_epochs, self.warmup_epochs >= 0, "0 or more"),
            "--min-lr": (self.min_lr, 0 <= self.min_lr <= self.lr, "in [0, --lr]"),
            "--clip-grad-norm": (self.clip_grad_norm, 0 <= self.clip_grad_norm <= 1e6, "from 0 to 1e6"),
            "--label-smoothing": (self.label_smoothing, 0 <= self.label_smoothing < 1, "in [0, 1)"),
            "--mixup": (self.mixup, self.mixup == 0 or 1e-6 <= self.mixup <= 1e6, "0, or from 1e-6 to 1e6"),
            "--cutmix": (self.cutmix, self.cutmix == 0 or 1e-6 <= self.cutmix <= 1e6, "0, or from 1e-6 to 1e6"),
            "--random-erasing": (self.random_erasing, 0 <= self.random_erasing <= 1, "in [0, 1]"),
            "--repeats": (self.repeats, self.repeats >= 1, "1 or more"),
            "--ema-decay": (self.ema_decay, 0 <= self.ema_decay < 1, "in [0, 1)"),
            "--ema-every": (self.ema_every, self.ema_every >= 1, "1 or more"),
        }
        for option, (value, holds, expected) in checks.items():
            if not holds:
                raise TgrError(f"{option} is {value:g}; it must be {expected}")
        if self.warmup_epochs >= self.epochs:
            raise TgrError(
                f"--warmup-epochs is {self.warmup_epochs} of {self.epochs} epochs; it must be below --epochs"
            )


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """The user's overrides of a recipe; None keeps the recipe's value."""

    epochs: int | None = None
    batch_size: int | None = None
    optimizer: str | None = None
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    decay: str | None = None
    schedule: str | None = None
    step_size: int | None = None
    gamma: float | None = None
    warmup_epochs: int | None = None
    min_lr: float | None = None
    clip_grad_norm: float | None = None
    label_smoothing: float | None = None
    mixup: float | None = None
    cutmix: float | None = None
    augment: str | None = None
    random_erasing: float | None = None
    repeats: int | None = None
    ema_decay: float | None = None
    ema_every: int | None = None
    amp: str | None = None
    sync_bn: bool | None = None

    def given(self) -> dict[str, object]:
        """Return the overrides that were given, by field."""
        return {name: value for name, value in asdict(self).items() if value is not None}
