"""Print images per second of tgr's training loop against a bare loop, and of training with faults against without.

python benchmarks/training_speed.py [--threads 2] [--rounds 7] [--device cpu] [--only bare | faults]

The bare loop has the same model, data, loader and optimiser, but no metrics, checks or progress. Images are synthetic;
epochs alternate, so that background load affects both equally. Ratios are medians over rounds, for wall time and for
CPU time, which background load affects less. Validation and checkpoints are excluded.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from tgr_cli.data.datasets import ImageSet, batches
from tgr_cli.data.transforms import Preprocessing, training
from tgr_cli.models import zoo
from tgr_cli.reporting import SILENT
from tgr_cli.training.checkpoint import ResumeFile, State
from tgr_cli.training.distributed import Group
from tgr_cli.training.loop import Loop, Validation
from tgr_cli.training.optim import optimiser
from tgr_cli.training.recipe import Recipe
from tgr_cli.training.stimulated import Disturbance

CASES = (  # model, pixels, images, batch
    ("resnet18", 224, 96, 8),
    ("resnet20", 32, 1024, 128),
)
AGAINST_FAULTS = (("lenet5", 32, 16384, 128), ("lenet5_wide", 32, 4096, 128), ("resnet20", 32, 1024, 128))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=("bare", "faults"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.device}, {options.threads} threads, {options.rounds} rounds")
    for model, size, images, batch in CASES if options.only != "faults" else ():
        case = Case(model, size, images, batch, torch.device(options.device))
        compare(f"{model}, {size} pixels, bare and tgr", case.bare, case.tgr, options.rounds)
    for model, size, images, batch in AGAINST_FAULTS if options.only != "bare" else ():
        case = Case(model, size, images, batch, torch.device(options.device))
        compare(f"{model}, plain and stimulated at 0.2", case.tgr, partial(case.tgr, 0.2), options.rounds)


def compare(what: str, one: Callable[[], int], other: Callable[[], int], rounds: int) -> None:
    """Print both rates and the time of the second relative to the first."""
    timed(one), timed(other)
    rounds_R2 = [(timed(one), timed(other)) for _ in range(rounds)]
    rates = [statistics.median(times[which].rate for times in rounds_R2) for which in (0, 1)]
    clock, processor = (
        sorted(getattr(second, name) / getattr(first, name) for first, second in rounds_R2)
        for name in ("clock", "processor")
    )
    print(
        f"{what}: {rates[0]:,.1f} and {rates[1]:,.1f} images/s; the second takes {statistics.median(clock):.3f} times "
        f"the first's time ({clock[0]:.2f}-{clock[-1]:.2f}), {statistics.median(processor):.3f} times its processor "
        f"time ({processor[0]:.2f}-{processor[-1]:.2f})",
        flush=True,
    )


@dataclass(frozen=True)
class Times:
    """Times of an epoch: wall seconds, CPU seconds, and images per second."""

    clock: float
    processor: float
    rate: float


def timed(epoch: Callable[[], int]) -> Times:
    """Return the times of an epoch, which must return its number of images."""
    clock, processor = time.perf_counter(), time.process_time()
    images = epoch()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return Times(clock, processor, images / clock)


class Nowhere(ResumeFile):
    """A checkpoint that is not written."""

    def save(self, state: State, processes: object) -> None:
        pass


class Case:
    """One model on synthetic images, with one epoch of each loop as a method."""

    def __init__(self, model: str, size: int, images: int, batch: int, device: torch.device) -> None:
        self.model, self.device = model, device
        channels = zoo.default_preprocessing(model).channels
        self.pre = Preprocessing(
            resize=None, crop=size, mean=(0.5,) * channels, std=(0.25,) * channels, channels=channels
        )
        random = np.random.default_rng(0)
        shape = (size, size, 3) if channels == 3 else (size, size)
        pictures = [Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)) for _ in range(16)]
        self.images = ImageSet(
            dataset="synthetic",
            split="train",
            classes=tuple(map(str, range(10))),
            ids=tuple(map(str, range(images))),
            labels=random.integers(0, 10, images),
            used="random pictures",
            read=lambda row: pictures[row % 16],
        )
        # a low rate keeps the losses of both loops finite and similar on random labels
        self.recipe = Recipe(epochs=1, batch_size=batch, lr=0.001, schedule="constant", augment="crop")

    def tgr(self, stimulated: float | None = None) -> int:
        """Train one epoch with tgr's loop and return the number of images."""
        loop = Loop(
            images=self.images,
            rows=np.arange(len(self.images)),
            transform=training(self.pre, self.recipe.augment),
            validate=lambda model: Validation(loss=0.0, top1=0.0, top5=0.0),
            recipe=self.recipe,
            seed=0,
            workers=0,
            group=Group(0, 1, self.device),
            disturbance=Disturbance(stimulated=stimulated),
        )
        loop.run(zoo.build(self.model, 10), Nowhere(Path("nowhere"), {}), resume=False, reporter=SILENT)
        return len(self.images)

    def bare(self) -> int:
        """Train one epoch with a minimal loop and return the number of images."""
        model = zoo.build(self.model, 10).to(self.device).to(memory_format=torch.channels_last).train()
        optimizer = optimiser(model, self.recipe)
        transform = training(self.pre, self.recipe.augment)
        order = np.random.default_rng(0).permutation(len(self.images))
        for x_BCHW, labels_B in batches(self.images, transform, batch_size=self.recipe.batch_size, order=order):
            x_BCHW = x_BCHW.to(self.device, memory_format=torch.channels_last, non_blocking=True)
            loss = functional.cross_entropy(model(x_BCHW), labels_B.to(self.device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()
        return len(self.images)


if __name__ == "__main__":
    main()
