"""The training loop: one for all heads, resumable after any step; global random generators are restored.

Suffixes: B images in a batch, C classes, H height, W width.
"""

import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn import functional

from tgr_cli import seeding
from tgr_cli.data.datasets import ImageSet, batches
from tgr_cli.data.transforms import Transform
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.training import generators
from tgr_cli.training.averaging import averaged
from tgr_cli.training.checkpoint import ResumeFile
from tgr_cli.training.distributed import Group
from tgr_cli.training.legs import unequal_legs
from tgr_cli.training.mixing import mixing
from tgr_cli.training.optim import optimiser, schedule
from tgr_cli.training.order import epoch_order, left_out, share, without_lone_rest
from tgr_cli.training.recipe import Recipe
from tgr_cli.training.state import Cost, Epoch, Leg, State
from tgr_cli.training.stimulated import Disturbance

# Steps between checks for a non-finite loss: each check synchronises with the accelerator.
STEPS_BETWEEN_CHECKS = 50
AMP = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Validation metrics: mean cross entropy (nats), and top-1 and top-5 accuracy in [0, 1]."""

    loss: float
    top1: float
    top5: float


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Everything a training needs except the model, which alone differs between heads.

    `rows` are the positions of the training images in `images`; `transform` turns an image into a tensor. The `frozen`
    modules, by name, stay in evaluation mode; `disturbance` acts on the others. A checkpoint is written after each
    epoch and every `checkpoint_every` steps.
    """

    images: ImageSet
    rows: np.ndarray
    transform: Transform
    validate: Callable[[nn.Module], Validation]
    recipe: Recipe
    seed: int
    workers: int
    group: Group
    frozen: tuple[str, ...] = ()
    checkpoint_every: int | None = None
    compiled: bool = False
    disturbance: Disturbance = field(default_factory=Disturbance)

    @property
    def total(self) -> int:
        """Return the number of images per step over all processes."""
        return self.recipe.batch_size * self.group.world

    def run(self, model: nn.Module, checkpoint: ResumeFile, *, start: Path | None, reporter: Reporter) -> State:
        """Train `model` in place and return the final state; progress is saved to `checkpoint`.

        Resumes from the state at `start`; None starts anew. Raises TgrError where the loss becomes non-finite, where
        there are too few images for the processes or for batch norm, where a checkpoint cannot be written, and as
        `Checkpoint.restore`.
        """
        device, recipe = self.group.device, self.recipe
        if len(self.rows) < self.group.world:
            raise TgrError(
                f"{len(self.rows)} training images are too few for {self.group.world} processes, each of which needs "
                "one; give more images or fewer processes"
            )
        # Channels-last convolutions are faster on CPUs (oneDNN) and tensor cores.
        model.to(device).to(memory_format=torch.channels_last)
        if recipe.sync_bn and self.group.world > 1 and device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        optimizer = optimiser(model, recipe)
        state = State(
            model=model,
            optimizer=optimizer,
            schedule=schedule(optimizer, recipe),
            scaler=GradScaler(device.type, enabled=recipe.amp == "fp16"),
            average=averaged(model, recipe, self.total),
            sums=torch.zeros(2, device=device),
            legs=[Leg(epochs=recipe.epochs)],
        )
        if start is not None:
            checkpoint.restore(start, state, self.group.rank)
        for sentence in (*unequal_legs(state, recipe), *left_out(len(self.rows), self.total, self.group.world)):
            reporter.note(sentence)
        network = self.group.wrap(model)
        network = torch.compile(network) if self.compiled else network  # type: ignore[assignment]
        state.saved, state.resumed = (len(state.epochs), state.step), len(state.epochs)
        try:
            with self.disturbance.acting(model):
                while len(state.epochs) < recipe.epochs:
                    self._epoch(network, state, checkpoint, reporter)
        except KeyboardInterrupt:
            reporter.note(f"interrupted in epoch {len(state.epochs) + 1} of {recipe.epochs}; {_kept(*state.saved)}")
            raise
        if state.average is not None:
            model.load_state_dict(state.average.module.state_dict())
        model.to("cpu").to(memory_format=torch.contiguous_format)
        return state

    def _epoch(self, network: nn.Module, state: State, checkpoint: ResumeFile, reporter: Reporter) -> None:
        """Train and validate one epoch, or the rest of it."""
        number, rate = len(state.epochs) + 1, state.optimizer.param_groups[0]["lr"]
        order = epoch_order(
            self.rows,
            len(self.images),
            seed=self.seed,
            epoch=number,
            repeats=self.recipe.repeats,
            total=self.total,
        )
        order = without_lone_rest(order, self.total, self.group.world)
        if self.group.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.group.device)
        seed = _integer(self.seed, "layers", number, self.group.rank)
        with generators.seeded(seed, state.generators, self.group.device):
            self._train(network, state, order, checkpoint, reporter)
        loss, correct = (float(value) for value in self.group.total(state.sums))
        cost = Cost(
            epoch=number,
            seconds=state.seconds,
            images_per_second=len(order) / state.seconds,
            peak_bytes=_peak_bytes(self.group.device),
        )
        self.group.align(state.result)
        validation = self.validate(state.result)
        reporter.note(
            f"epoch {number} of {self.recipe.epochs}: loss {loss / len(order):.4f}, top-1 {correct / len(order):.4f}; "
            f"validation loss {validation.loss:.4f}, top-1 {validation.top1:.4f}; "
            f"{cost.images_per_second:,.0f} images/s"
        )
        if self.group.first and all(validation.top1 > epoch.val_top1 for epoch in state.epochs):
            state.keep_best()
        state.epochs.append(
            Epoch(
                epoch=number,
                learning_rate=rate,
                train_loss=loss / len(order),
                train_top1=correct / len(order),
                val_loss=validation.loss,
                val_top1=validation.top1,
                val_top5=validation.top5,
            )
        )
        state.costs.append(cost)
        state.schedule.step()
        state.step, state.seconds, state.generators = 0, 0.0, None
        state.sums.zero_()
        self._save(state, checkpoint)

    def _train(
        self, network: nn.Module, state: State, order: np.ndarray, checkpoint: ResumeFile, reporter: Reporter
    ) -> None:
        """Run the epoch's remaining steps, from `state.step`."""
        number = len(state.epochs) + 1
        network.train()
        for name in self.frozen:
            state.model.get_submodule(name).eval()
        world, device = self.group.world, self.group.device
        mix = mixing(self.recipe, len(self.images.classes))
        mine = share(order, self.total, self.group.rank, world)[state.step * self.recipe.batch_size :]
        steps = -(-len(order) // self.total)
        loaded = batches(
            self.images,
            self.transform,
            batch_size=self.recipe.batch_size,
            workers=self.workers,
            order=mine,
            seed=_integer(self.seed, "augment", number),
            pinned=device.type == "cuda",
        )
        started = time.perf_counter() - state.seconds
        for x_BCHW, labels_B in loaded:
            x_BCHW = x_BCHW.to(device, memory_format=torch.channels_last, non_blocking=True)
            labels_B = labels_B.to(device, non_blocking=True)
            of_step = min(self.total, len(order) - state.step * self.total)
            # All-reduce weighs processes equally, but their shares of the last step may differ by one image.
            share_of_step = len(labels_B) * world / of_step
            self._step(network, state, x_BCHW, labels_B, mix, share_of_step)
            if state.average is not None and ((number - 1) * steps + state.step + 1) % self.recipe.ema_every == 0:
                self._average(state, number)
            state.step += 1
            if state.step % STEPS_BETWEEN_CHECKS == 1:
                self._check(state, number)
            seen = min(state.step * self.total, len(order))
            reporter.progress("training", (number - 1) * len(order) + seen, self.recipe.epochs * len(order))
            if self.checkpoint_every is not None and state.step % self.checkpoint_every == 0 and state.step < steps:
                state.generators, state.seconds = generators.states(device), time.perf_counter() - started
                self._save(state, checkpoint)
        self._check(state, number)  # also synchronises with the accelerator, so that the last step counts in the timing
        state.seconds = time.perf_counter() - started
        if state.average is not None and state.average.n_averaged == 0:
            self._average(state, number)

    def _step(
        self,
        network: nn.Module,
        state: State,
        x_BCHW: Tensor,
        labels_B: Tensor,
        mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None,
        share_of_step: float,
    ) -> None:
        """Update the weights with one batch; metrics are summed on the device to avoid synchronisation."""
        images, targets = (x_BCHW, labels_B) if mix is None else mix(x_BCHW, labels_B)
        amp = AMP.get(self.recipe.amp)
        with torch.autocast(self.group.device.type, dtype=amp, enabled=amp is not None):
            logits_BC = _logits(network, images)
            loss = functional.cross_entropy(logits_BC, targets, label_smoothing=self.recipe.label_smoothing)
        state.optimizer.zero_grad()
        state.scaler.scale(loss if share_of_step == 1 else loss * share_of_step).backward()
        if self.recipe.clip_grad_norm:
            state.scaler.unscale_(state.optimizer)
            nn.utils.clip_grad_norm_(state.model.parameters(), self.recipe.clip_grad_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.sums[0] += loss.detach() * len(labels_B)
        state.sums[1] += (logits_BC.detach().argmax(1) == labels_B).sum()

    def _average(self, state: State, number: int) -> None:
        assert state.average is not None
        if number <= self.recipe.warmup_epochs:
            state.average.n_averaged.zero_()  # during warm-up the average is a copy of the weights
        state.average.update_parameters(state.model)

    def _check(self, state: State, number: int) -> None:
        if not math.isfinite(state.sums[0]):
            raise TgrError(
                f"the loss is no finite number any more in epoch {number}; lower --lr (now {self.recipe.lr:g}) "
                "or add --warmup-epochs"
            )

    def _save(self, state: State, checkpoint: ResumeFile) -> None:
        processes = self.group.gather(state.own)
        if self.group.first:
            try:
                checkpoint.save(state, processes)
            except TgrError as error:  # a full disk: the previous checkpoint is still there
                raise TgrError(f"{error}; {_kept(*state.saved)}") from error
        state.saved = (len(state.epochs), state.step)


def _logits(network: nn.Module, x_BCHW: Tensor) -> Tensor:
    """Return the logits; raises TgrError if batch norm gets a single value per channel."""
    try:
        return network(x_BCHW)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise TgrError(
            f"the model's batch norm has a single value for a channel in a batch of {len(x_BCHW)}; "
            "give a --batch-size of 2 or more in each process, and as many images, or a larger --crop"
        ) from error


def _kept(epochs: int, step: int) -> str:
    if not epochs and not step:
        return "no epoch was finished"
    parts = [f"epoch {epochs}"] * bool(epochs) + [f"step {step} of epoch {epochs + 1}"] * bool(step)
    return f"{parts[-1]} is kept, and --resume goes on from it"


def _integer(seed: int, what: str, *numbers: int) -> int:
    return int(seeding.words(seed, what, *numbers, count=1)[0, 0] >> np.uint64(1))


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
