"""The loop: a resumed training ends in the weights of one that never stopped, and leaves no generator moved."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toys import toy_net, write_toy_dataset

from tgr_cli.data.datasets import DataSource, ImageSet, open_split
from tgr_cli.data.transforms import Preprocessing, training
from tgr_cli.errors import TgrError
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.training.checkpoint import Checkpoint
from tgr_cli.training.distributed import Group
from tgr_cli.training.loop import Loop, Validation
from tgr_cli.training.recipe import Recipe

PRE = Preprocessing(resize=None, crop=8, mean=(0.5,), std=(0.25,), channels=1)


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return open_split(DataSource(dataset=f"parquet:{write_toy_dataset(tmp_path / 'toy')}"), "train")


def fixed(_: nn.Module) -> Validation:
    return Validation(loss=1.0, top1=0.5, top5=1.0)


def loop(images: ImageSet, recipe: Recipe, validate: Callable = fixed, **options: Any) -> Loop:
    return Loop(
        images=images,
        rows=np.arange(len(images)),
        transform=training(PRE, recipe.augment, recipe.random_erasing),
        validate=validate,
        recipe=recipe,
        seed=7,
        workers=0,
        group=Group(0, 1, torch.device("cpu")),
        **options,
    )


def recipe(**values: Any) -> Recipe:
    return Recipe(**{"epochs": 4, "batch_size": 16, "label_smoothing": 0.1, "augment": "crop", **values})


def network() -> nn.Module:
    """The toy with what has a state or draws numbers while it is trained: batch norm and dropout."""
    toy = toy_net(3)
    toy.relu = nn.Dropout(0.2)
    toy.conv2 = nn.Sequential(toy.conv2, nn.BatchNorm2d(6))
    return toy


def equal(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0].keys() | states[1].keys())


RECIPES = {
    "sgd-warmup-cosine": recipe(lr=0.05, warmup_epochs=2),
    "sgd-step": recipe(lr=0.05, schedule="step", step_size=2),
    "adamw": recipe(lr=0.01, optimizer="adamw", schedule="constant"),
    "mixed": recipe(lr=0.05, mixup=0.8, cutmix=1.0, random_erasing=0.5, clip_grad_norm=1.0),
    "averaged": recipe(lr=0.05, ema_decay=0.9, ema_every=3, repeats=2, decay="weights", warmup_epochs=1),
    "half": recipe(lr=0.05, amp="fp16", clip_grad_norm=1.0),
    "brain": recipe(lr=0.05, amp="bf16", augment="trivial"),
}


class Stopping(Reporter):
    """Interrupts the training after so many steps; hears notes."""

    def __init__(self, steps: int) -> None:
        self.left, self.notes = steps, list[str]()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, what: str, done: int, total: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("of", RECIPES.values(), ids=RECIPES)
def test_resuming_gives_the_weights_of_never_stopping(images: ImageSet, tmp_path: Path, of: Recipe) -> None:
    """Four steps an epoch: interrupted in the third's third step, two steps after the last checkpoint."""
    whole = network()
    state = loop(images, of).run(whole, Checkpoint(tmp_path / "whole.pt", {}), resume=False, reporter=SILENT)
    part, reporter = Checkpoint(tmp_path / "part.pt", {"lr": of.lr}), Stopping(10)
    with pytest.raises(KeyboardInterrupt):
        loop(images, of, checkpoint_every=2).run(network(), part, resume=False, reporter=reporter)
    assert reporter.notes[-1] == "interrupted in epoch 3 of 4; step 2 of epoch 3 is kept, and --resume goes on from it"

    resumed = network()
    again = loop(images, of).run(resumed, part, resume=True, reporter=SILENT)
    assert again.epochs == state.epochs
    assert [row.epoch for row in again.epochs] == [cost.epoch for cost in again.costs] == [1, 2, 3, 4]
    assert equal(resumed, whole)
    assert not equal(network(), whole)


def test_what_is_kept_is_told(images: ImageSet, tmp_path: Path) -> None:
    for steps, kept in ((2, "no epoch was finished"), (9, "epoch 2 is kept, and --resume goes on from it")):
        reporter = Stopping(steps)
        with pytest.raises(KeyboardInterrupt):
            loop(images, recipe()).run(network(), Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=reporter)
        assert reporter.notes[-1] == f"interrupted in epoch {steps // 4 + 1} of 4; {kept}"


@pytest.mark.parametrize("name", ["mixed", "averaged", "half", "brain"])
def test_each_part_of_a_recipe_changes_the_weights(images: ImageSet, tmp_path: Path, name: str) -> None:
    plain, other = network(), network()
    for model, of in ((plain, recipe(lr=0.05)), (other, RECIPES[name])):
        loop(images, of).run(model, Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT)
    assert not equal(plain, other)


def test_the_average_is_what_is_validated_and_kept(images: ImageSet, tmp_path: Path) -> None:
    """An average that keeps nothing of the past, updated each step, is the last step's weights."""
    validated: list[torch.Tensor] = []

    def looking(model: nn.Module) -> Validation:
        validated.append(model.conv1.weight.detach().clone())
        return fixed(model)

    plain, averaged = network(), network()
    of = recipe(lr=0.05, ema_decay=0.0)
    loop(images, of).run(plain, Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT)
    state = loop(images, replace(of, ema_decay=0.9, ema_every=1), looking).run(
        averaged, Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT
    )
    assert state.average is not None
    assert torch.equal(averaged.conv1.weight, validated[-1])
    # (1 - 0.9) · 16 images / 4 epochs = 0.4: each step moves the average by 0.4 of the way.
    assert state.average.n_averaged == 16
    assert not equal(plain, averaged)


def test_the_best_epoch_is_kept(images: ImageSet, tmp_path: Path) -> None:
    top1 = iter([0.2, 0.6, 0.6, 0.4])
    kept: list[float] = []

    def validate(model: nn.Module) -> Validation:
        return Validation(loss=1.0, top1=next(top1), top5=1.0)

    state = loop(images, recipe(), validate, keep=lambda model: kept.append(model.conv1.weight.sum().item())).run(
        network(), Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT
    )
    assert len(kept) == 2
    assert kept[0] != kept[1]
    assert all(cost.seconds > 0 and cost.images_per_second > 0 and cost.peak_bytes > 0 for cost in state.costs)


def test_no_global_generator_moves(images: ImageSet, tmp_path: Path) -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - it must stay as it is
    loop(images, recipe()).run(network(), Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_global_generators_do_not_matter(images: ImageSet, tmp_path: Path) -> None:
    models = network(), network()
    for model in models:
        torch.rand(5)
        loop(images, recipe()).run(model, Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT)
    assert equal(*models)


def test_a_last_batch_of_one_image_is_left_out(images: ImageSet, tmp_path: Path) -> None:
    """60 images in batches of 59: batch norm has no variance over the last one at 1×1."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 3))
    state = loop(images, recipe(batch_size=59)).run(
        model, Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT
    )
    assert len(state.epochs) == 4
    assert model[1].num_batches_tracked == 4


def test_a_loss_that_is_no_number_ends_it_in_a_sentence(images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(TgrError, match=r"no finite number any more in epoch 1; lower --lr \(now 1e\+30\)"):
        loop(images, recipe(lr=1e30)).run(toy_net(), Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT)
    assert not (tmp_path / "c.pt").exists()


def test_a_checkpoint_of_another_training_is_refused(images: ImageSet, tmp_path: Path) -> None:
    saved = Checkpoint(tmp_path / "c.pt", {"recipe": {"lr": 0.1, "gamma": 0.5}, "seed": 1})
    loop(images, recipe()).run(network(), saved, resume=False, reporter=SILENT)
    other = Checkpoint(saved.path, {"recipe": {"lr": 0.2, "gamma": 0.5}, "seed": 2})
    wanted = r"c.pt was begun with recipe.lr 0.1, where 0.2 is asked for, seed 1, where 2 is asked for; resume it with"
    with pytest.raises(TgrError, match=wanted):
        loop(images, recipe()).run(network(), other, resume=True, reporter=SILENT)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a checkpoint", b"\x80\x02}q\x00."])
def test_a_damaged_checkpoint_is_refused(images: ImageSet, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(TgrError, match=r"c.pt is damaged and cannot be read; train from the start by leaving out --"):
        loop(images, recipe()).run(network(), Checkpoint(tmp_path / "c.pt", {}), resume=True, reporter=SILENT)


def test_a_checkpoint_of_a_model_that_was_built_otherwise_is_refused(images: ImageSet, tmp_path: Path) -> None:
    saved = Checkpoint(tmp_path / "c.pt", {})
    loop(images, recipe()).run(network(), saved, resume=False, reporter=SILENT)
    with pytest.raises(TgrError, match=r"c.pt does not fit the model that is trained now, although its options are"):
        loop(images, recipe()).run(toy_net(), saved, resume=True, reporter=SILENT)


def test_a_checkpoint_that_is_a_tensor_is_refused(images: ImageSet, tmp_path: Path) -> None:
    torch.save(torch.zeros(2), tmp_path / "c.pt")
    with pytest.raises(TgrError, match=r"c.pt is damaged and cannot be read"):
        loop(images, recipe()).run(network(), Checkpoint(tmp_path / "c.pt", {}), resume=True, reporter=SILENT)


def test_batch_norm_without_a_variance_ends_in_a_sentence(images: ImageSet, tmp_path: Path) -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 3))
    with pytest.raises(TgrError, match=r"single value for a channel in a batch of 1; give a --batch-size of 2 or more"):
        loop(images, recipe(batch_size=1)).run(model, Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT)


def test_more_processes_than_images_are_refused(images: ImageSet, tmp_path: Path) -> None:
    alone = replace(loop(images, recipe()), rows=np.arange(1), group=Group(0, 2, torch.device("cpu")))
    with pytest.raises(TgrError, match="1 training images are too few for 2 processes, each of which needs one"):
        alone.run(network(), Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT)
