"""The training loop: one for every head, resumable after each epoch, with no global generator left moved.

Legend: B images a batch, C classes, H height, W width.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim import Optimizer

from tgr_cli import seeding
from tgr_cli.data.datasets import ImageSet, batches
from tgr_cli.data.transforms import Transform
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.training.checkpoint import Checkpoint, Epoch
from tgr_cli.training.optim import OptimOptions, optimiser, schedule

# How often a loss that is no number is looked for: looking makes an accelerator wait.
STEPS_BETWEEN_CHECKS = 50


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How the model does on the evaluation images: mean cross entropy (nats) and shares of them."""

    loss: float
    top1: float
    top5: float


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What a training is made of; the model alone differs between heads.

    `rows` are the positions of the training images in `images`; `augment` turns one image into a tensor.
    """

    images: ImageSet
    rows: np.ndarray
    augment: Transform
    validate: Callable[[nn.Module], Validation]
    optim: OptimOptions
    epochs: int
    batch_size: int
    label_smoothing: float
    seed: int
    workers: int
    device: str

    def run(self, model: nn.Module, checkpoint: Checkpoint, *, resume: bool, reporter: Reporter) -> list[Epoch]:
        """Train `model` in place and return a row an epoch; each finished epoch is in `checkpoint`.

        Raises TgrError where the loss is no number any more, and what `Checkpoint.restore` raises.
        """
        # Convolutions run faster with the channels innermost, on CPUs (oneDNN) as on tensor cores.
        model.to(self.device).to(memory_format=torch.channels_last)
        optimizer = optimiser(model, self.optim)
        rates = schedule(optimizer, self.optim, self.epochs)
        done = checkpoint.restore(model, optimizer, rates, self.device) if resume else []
        try:
            for number in range(len(done) + 1, self.epochs + 1):
                done.append(self._epoch(model, optimizer, number, reporter))
                rates.step()
                checkpoint.save(model, optimizer, rates, done)
        except KeyboardInterrupt:
            kept = f"epoch {len(done)} is kept, and --resume goes on from it" if done else "no epoch was finished"
            reporter.note(f"interrupted in epoch {len(done) + 1} of {self.epochs}; {kept}")
            raise
        model.to("cpu").to(memory_format=torch.contiguous_format)
        return done

    def _epoch(self, model: nn.Module, optimizer: Optimizer, number: int, reporter: Reporter) -> Epoch:
        order = seeding.generator(self.seed, "order", number).permutation(self.rows)
        if len(order) % self.batch_size == 1 and len(order) > 1:
            # Batch norm has no variance over one image; another image is left out in the next epoch.
            order = order[:-1]
        rate = optimizer.param_groups[0]["lr"]
        started = time.perf_counter()
        with _torch_seed(_integer(self.seed, "layers", number), self.device):
            loss, top1 = self._train(model, optimizer, order, number, reporter)
        images_a_second = len(order) / (time.perf_counter() - started)
        validation = self.validate(model)
        reporter.note(
            f"epoch {number} of {self.epochs}: loss {loss:.4f}, top-1 {top1:.4f}; validation loss "
            f"{validation.loss:.4f}, top-1 {validation.top1:.4f}; {images_a_second:,.0f} images/s"
        )
        return Epoch(
            epoch=number,
            learning_rate=rate,
            train_loss=loss,
            train_top1=top1,
            val_loss=validation.loss,
            val_top1=validation.top1,
            val_top5=validation.top5,
        )

    def _train(
        self, model: nn.Module, optimizer: Optimizer, order: np.ndarray, number: int, reporter: Reporter
    ) -> tuple[float, float]:
        """Take one step a batch; return the mean loss (nats) and the share classified correctly, while training."""
        model.train()
        # Sums stay on the device, so that no step waits for the one before it.
        loss_sum, correct = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        seen = 0
        loaded = batches(
            self.images,
            self.augment,
            batch_size=self.batch_size,
            workers=self.workers,
            order=order.tolist(),
            seed=_integer(self.seed, "augment", number),
        )
        for step, (x_BCHW, labels_B) in enumerate(loaded):
            x_BCHW = x_BCHW.to(self.device, memory_format=torch.channels_last, non_blocking=True)
            labels_B = labels_B.to(self.device, non_blocking=True)
            logits_BC = model(x_BCHW)
            loss = functional.cross_entropy(logits_BC, labels_B, label_smoothing=self.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(labels_B)
            correct += (logits_BC.detach().argmax(1) == labels_B).sum()
            seen += len(labels_B)
            if step % STEPS_BETWEEN_CHECKS == 0:
                self._check(loss_sum, number)
            reporter.progress("training", (number - 1) * len(order) + seen, self.epochs * len(order))
        self._check(loss_sum, number)
        return float(loss_sum) / seen, float(correct) / seen

    def _check(self, loss_sum: torch.Tensor, number: int) -> None:
        if not math.isfinite(loss_sum):
            raise TgrError(
                f"the loss is no finite number any more in epoch {number}; lower --lr (now {self.optim.lr:g}) "
                "or add --warmup-epochs"
            )


def _integer(seed: int, what: str, number: int) -> int:
    return int(seeding.words(seed, what, number, count=1)[0, 0] >> np.uint64(1))


@contextmanager
def _torch_seed(seed: int, device: str) -> Iterator[None]:
    """Seed torch's own generators, which dropout and its like draw from, and put them back as they were."""
    on_cuda = torch.device(device).type == "cuda"
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            torch.cuda.manual_seed_all(seed)
        yield
