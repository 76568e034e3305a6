"""Take one optimiser step with each backbone of the text-guided paper: its recipe, its input size, both heads.

python benchmarks/recipe_steps.py [MODEL …] [--threads 2]

Images are random, four per step, on the CPU; all other settings are those of "--recipe auto". Prints one line per
training, and fails if a loss is not finite or a parameter is unchanged.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tgr_cli.data.datasets import ImageSet
from tgr_cli.data.transforms import PreprocessingOptions, training
from tgr_cli.models import zoo
from tgr_cli.models.classifier import text_guided
from tgr_cli.reporting import SILENT
from tgr_cli.training import recipes
from tgr_cli.training.checkpoint import ResumeFile, State
from tgr_cli.training.distributed import Group
from tgr_cli.training.loop import Loop, Validation

BACKBONES = [
    *("alexnet", "vgg16_bn", "vgg19_bn", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("mobilenet_v2", "maxvit_t", "swin_v2_t", "swin_v2_s", "focalnet_t", "focalnet_s"),
]
IMAGES, CLASSES, EMBEDDING_DIM = 4, 1000, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=BACKBONES)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    embeddings_CE = torch.randn(CLASSES, EMBEDDING_DIM, generator=torch.Generator().manual_seed(0))
    for name in options.models:
        for head in ("baseline", "text"):
            model = zoo.build(name, CLASSES) if head == "baseline" else text_guided(name, embeddings_CE)
            step(name, head, model)


def step(name: str, head: str, model: nn.Module) -> None:
    """Take the step and print the result."""
    # One epoch of one step; a warm-up would replace the learning rate that the recipe defines.
    given = {"batch_size": IMAGES, "epochs": 1, "warmup_epochs": 0}
    found = recipes.resolve("auto", name, "imagenet", given)
    recipe = found.recipe
    options = PreprocessingOptions(resize=recipe.resize, crop=recipe.crop, interpolation=recipe.interpolation)
    pre = options.override(zoo.default_preprocessing(name))
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 256, (280, 300, 3), dtype=np.uint8)) for _ in range(IMAGES)]
    loop = Loop(
        images=ImageSet(
            dataset="random",
            split="train",
            classes=tuple(map(str, range(CLASSES))),
            ids=tuple(map(str, range(IMAGES))),
            labels=random.integers(0, CLASSES, IMAGES),
            used="random pictures",
            read=pictures.__getitem__,
        ),
        rows=np.arange(IMAGES),
        transform=training(pre, recipe.augment, recipe.random_erasing),
        validate=lambda model: Validation(loss=0.0, top1=0.0, top5=0.0),
        recipe=recipe,
        seed=0,
        workers=0,
        group=Group(0, 1, torch.device("cpu")),
    )
    started = time.perf_counter()
    state = loop.run(model, Nowhere(Path("nowhere"), {}), resume=False, reporter=SILENT)
    seconds = time.perf_counter() - started
    still = [key for key, value in state.model.named_parameters() if torch.equal(value, before[key])]
    loss = state.epochs[0].train_loss
    print(
        f"{name} {head}: recipe {found.name}, {pre.crop} pixels, {recipe.optimizer} at {recipe.lr:.3g}: "
        f"loss {loss:.3f}, {len(before) - len(still)} of {len(before)} parameters moved, {seconds:.1f} s",
        flush=True,
    )
    if still or not np.isfinite(loss):
        raise SystemExit(f"{name} {head}: these did not move: {', '.join(still)}")


class Nowhere(ResumeFile):
    """A checkpoint that is not written."""

    def save(self, state: State, processes: object) -> None:
        pass


if __name__ == "__main__":
    main()
