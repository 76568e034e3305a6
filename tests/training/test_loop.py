"""The training loop: resumed trainings give the weights of uninterrupted ones; global generators are restored."""

from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toys_loop import Stopping, equal, fixed, loop, network, recipe

from tgr_cli.data.datasets import ImageSet
from tgr_cli.reporting import SILENT
from tgr_cli.training.checkpoint import ResumeFile
from tgr_cli.training.loop import Validation
from tgr_cli.training.recipe import Recipe

RECIPES = {
    "sgd-warmup-cosine": recipe(lr=0.05, warmup_epochs=2),
    "sgd-step": recipe(lr=0.05, schedule="step", step_size=2),
    "adamw": recipe(lr=0.01, optimizer="adamw", schedule="constant"),
    "mixed": recipe(lr=0.05, mixup=0.8, cutmix=1.0, random_erasing=0.5, clip_grad_norm=1.0),
    "averaged": recipe(lr=0.05, ema_decay=0.9, ema_every=3, repeats=2, decay="weights", warmup_epochs=1),
    "half": recipe(lr=0.05, amp="fp16", clip_grad_norm=1.0),
    "brain": recipe(lr=0.05, amp="bf16", augment="trivial"),
}


@pytest.mark.parametrize("of", RECIPES.values(), ids=RECIPES)
def test_resuming_gives_the_weights_of_never_stopping(images: ImageSet, tmp_path: Path, of: Recipe) -> None:
    """Four steps per epoch; interrupted in step three of epoch three, two steps after the last checkpoint."""
    whole = network()
    state = loop(images, of).run(whole, ResumeFile(tmp_path / "whole.pt", {}), start=None, reporter=SILENT)
    part, reporter = ResumeFile(tmp_path / "part.pt", {"lr": of.lr}), Stopping(10)
    with pytest.raises(KeyboardInterrupt):
        loop(images, of, checkpoint_every=2).run(network(), part, start=None, reporter=reporter)
    assert reporter.notes[-1] == "interrupted in epoch 3 of 4; step 2 of epoch 3 is kept, and --resume goes on from it"

    resumed = network()
    again = loop(images, of).run(resumed, part, start=part.path, reporter=SILENT)
    assert again.epochs == state.epochs
    assert [row.epoch for row in again.epochs] == [cost.epoch for cost in again.costs] == [1, 2, 3, 4]
    assert equal(resumed, whole)
    assert not equal(network(), whole)


def test_what_is_kept_is_told(images: ImageSet, tmp_path: Path) -> None:
    for steps, kept in ((2, "no epoch was finished"), (9, "epoch 2 is kept, and --resume goes on from it")):
        reporter = Stopping(steps)
        with pytest.raises(KeyboardInterrupt):
            loop(images, recipe()).run(network(), ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=reporter)
        assert reporter.notes[-1] == f"interrupted in epoch {steps // 4 + 1} of 4; {kept}"


@pytest.mark.parametrize("name", ["mixed", "averaged", "half", "brain"])
def test_each_part_of_a_recipe_changes_the_weights(images: ImageSet, tmp_path: Path, name: str) -> None:
    plain, other = network(), network()
    for model, of in ((plain, recipe(lr=0.05)), (other, RECIPES[name])):
        loop(images, of).run(model, ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=SILENT)
    assert not equal(plain, other)


def test_the_average_is_what_is_validated_and_kept(images: ImageSet, tmp_path: Path) -> None:
    """An average with decay 0, updated at each step, equals the last step's weights."""
    validated: list[torch.Tensor] = []

    def looking(model: nn.Module) -> Validation:
        validated.append(model.conv1.weight.detach().clone())
        return fixed(model)

    plain, averaged = network(), network()
    of = recipe(lr=0.05, ema_decay=0.0)
    loop(images, of).run(plain, ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=SILENT)
    state = loop(images, replace(of, ema_decay=0.9, ema_every=1), looking).run(
        averaged, ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=SILENT
    )
    assert state.average is not None
    assert torch.equal(averaged.conv1.weight, validated[-1])
    # (1 - 0.9) · 16 images / 4 epochs = 0.4: each step moves the average by 0.4 of the difference.
    assert state.average.n_averaged == 16
    assert not equal(plain, averaged)


def test_the_best_epoch_is_kept(images: ImageSet, tmp_path: Path) -> None:
    top1, seen = iter([0.2, 0.6, 0.6, 0.4]), []

    def validate(model: nn.Module) -> Validation:
        seen.append(model.conv1.weight.detach().clone())
        return Validation(loss=1.0, top1=next(top1), top5=1.0)

    state = loop(images, recipe(), validate).run(
        network(), ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=SILENT
    )
    assert state.best is not None
    assert [torch.equal(state.best["conv1.weight"], weight) for weight in seen] == [False, True, False, False]
    assert all(cost.seconds > 0 and cost.images_per_second > 0 and cost.peak_bytes > 0 for cost in state.costs)


def test_no_global_generator_moves(images: ImageSet, tmp_path: Path) -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - it must stay as it is
    loop(images, recipe()).run(network(), ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=SILENT)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_global_generators_do_not_matter(images: ImageSet, tmp_path: Path) -> None:
    models = network(), network()
    for model in models:
        torch.rand(5)
        loop(images, recipe()).run(model, ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=SILENT)
    assert equal(*models)


def test_a_last_batch_of_one_image_is_left_out(images: ImageSet, tmp_path: Path) -> None:
    """60 images in batches of 59: batch norm at 1×1 has no variance for the last one."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 3))
    reporter = Stopping(99)
    state = loop(images, recipe(batch_size=59)).run(
        model, ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=reporter
    )
    assert reporter.notes[0].startswith("1 of 60 training images, others in each epoch, are left out: a last step of")
    assert len(state.epochs) == 4
    assert model[1].num_batches_tracked == 4


LEGS = {
    "constant": (recipe(lr=0.05, schedule="constant"), True),
    "step": (recipe(lr=0.05, schedule="step", step_size=1, warmup_epochs=1), True),
    "cosine": (recipe(lr=0.05, schedule="cosine"), False),
    "average": (recipe(lr=0.05, schedule="constant", ema_decay=0.9, ema_every=1), False),
}


@pytest.mark.parametrize("name", LEGS)
@pytest.mark.parametrize("stop", [None, 7])
def test_more_epochs_are_those_of_a_longer_training_where_the_rates_allow(
    images: ImageSet, tmp_path: Path, name: str, stop: int | None
) -> None:
    """Resumed after the two planned epochs, or in the fourth step of the second; an epoch has four."""
    of, same = LEGS[name]
    planned, longer = replace(of, epochs=2), replace(of, epochs=4)
    whole, part = network(), ResumeFile(tmp_path / "c.pt", {})
    straight = loop(images, longer).run(whole, ResumeFile(tmp_path / "w.pt", {}), start=None, reporter=SILENT)
    stopped = Stopping(99 if stop is None else stop)
    with nullcontext() if stop is None else pytest.raises(KeyboardInterrupt):
        loop(images, planned, checkpoint_every=1).run(network(), part, start=None, reporter=stopped)
    again, reporter, saved = network(), Stopping(99), part.path.read_bytes()
    state = loop(images, longer).run(again, part, start=part.path, reporter=reporter)
    assert equal(again, whole) == same
    assert state.epochs == straight.epochs or not same
    assert ("goes on as if they had been from the start" in reporter.notes[0]) == same
    assert ("is not that of --epochs 4 from the start" in reporter.notes[0]) == (not same)
    begun = {"after_epoch": 2, "after_step": 0} if stop is None else {"after_epoch": 1, "after_step": 3}
    assert [asdict(leg) for leg in state.legs] == [
        {"after_epoch": 0, "after_step": 0, "epochs": 2},
        {**begun, "epochs": 4},
    ]
    rates = [row.learning_rate for row in straight.epochs]
    assert [row.learning_rate for row in state.epochs][2:] == rates[2:]
    part.path.write_bytes(saved)
    third = network()
    loop(images, longer).run(third, part, start=part.path, reporter=SILENT)
    assert equal(third, again)
