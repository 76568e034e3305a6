"""The loop: a resumed training ends in the weights of one that never stopped, and leaves no generator moved."""

from collections.abc import Callable
from pathlib import Path

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
from tgr_cli.training.loop import Loop, Validation
from tgr_cli.training.optim import OptimOptions

PRE = Preprocessing(resize=None, crop=8, mean=(0.5,), std=(0.25,), channels=1)


class Listener(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return open_split(DataSource(dataset=f"parquet:{write_toy_dataset(tmp_path / 'toy')}"), "train")


def fixed(_: nn.Module) -> Validation:
    return Validation(loss=1.0, top1=0.5, top5=1.0)


def loop(images: ImageSet, optim: OptimOptions, validate: Callable = fixed, batch_size: int = 16) -> Loop:
    return Loop(
        images=images,
        rows=np.arange(len(images)),
        augment=training(PRE, "crop"),
        validate=validate,
        optim=optim,
        epochs=4,
        batch_size=batch_size,
        label_smoothing=0.1,
        seed=7,
        workers=0,
        device="cpu",
    )


def network() -> nn.Module:
    """The toy with what has a state or draws numbers while it is trained: batch norm and dropout."""
    toy = toy_net(3)
    toy.relu = nn.Dropout(0.2)
    toy.conv2 = nn.Sequential(toy.conv2, nn.BatchNorm2d(6))
    return toy


def equal(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0].keys() | states[1].keys())


@pytest.mark.parametrize(
    "optim",
    [
        OptimOptions(lr=0.05, warmup_epochs=2),
        OptimOptions(lr=0.05, schedule="step", step_size=2),
        OptimOptions(lr=0.01, optimizer="adamw", schedule="constant"),
    ],
    ids=["sgd-warmup-cosine", "sgd-step", "adamw"],
)
def test_resuming_gives_the_weights_of_never_stopping(images: ImageSet, tmp_path: Path, optim: OptimOptions) -> None:
    whole = network()
    rows = loop(images, optim).run(whole, Checkpoint(tmp_path / "whole.pt", {}), resume=False, reporter=SILENT)

    calls = iter(range(1, 5))

    def interrupted(model: nn.Module) -> Validation:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return fixed(model)

    part, listener = Checkpoint(tmp_path / "part.pt", {"lr": optim.lr}), Listener()
    with pytest.raises(KeyboardInterrupt):
        loop(images, optim, interrupted).run(network(), part, resume=False, reporter=listener)
    assert listener.notes[-1] == "interrupted in epoch 3 of 4; epoch 2 is kept, and --resume goes on from it"

    resumed = network()
    assert loop(images, optim).run(resumed, part, resume=True, reporter=SILENT) == rows
    assert [row.epoch for row in rows] == [1, 2, 3, 4]
    assert equal(resumed, whole)
    assert not equal(network(), whole)


def test_no_global_generator_moves(images: ImageSet, tmp_path: Path) -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - it must stay as it is
    loop(images, OptimOptions()).run(network(), Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_global_generators_do_not_matter(images: ImageSet, tmp_path: Path) -> None:
    models = network(), network()
    for model in models:
        torch.rand(5)
        loop(images, OptimOptions()).run(model, Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT)
    assert equal(*models)


def test_a_last_batch_of_one_image_is_left_out(images: ImageSet, tmp_path: Path) -> None:
    """60 images in batches of 59: batch norm has no variance over the last one at 1×1."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 3))
    rows = loop(images, OptimOptions(), batch_size=59).run(
        model, Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT
    )
    assert len(rows) == 4
    assert model[1].num_batches_tracked == 4


def test_a_loss_that_is_no_number_ends_it_in_a_sentence(images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(TgrError, match=r"no finite number any more in epoch 1; lower --lr \(now 1e\+30\)"):
        loop(images, OptimOptions(lr=1e30)).run(
            toy_net(), Checkpoint(tmp_path / "c.pt", {}), resume=False, reporter=SILENT
        )
    assert not (tmp_path / "c.pt").exists()


def test_a_checkpoint_of_another_training_is_refused(images: ImageSet, tmp_path: Path) -> None:
    saved = Checkpoint(tmp_path / "c.pt", {"optim": {"lr": 0.1, "gamma": 0.5}, "seed": 1})
    loop(images, OptimOptions()).run(network(), saved, resume=False, reporter=SILENT)
    other = Checkpoint(saved.path, {"optim": {"lr": 0.2, "gamma": 0.5}, "seed": 2})
    wanted = r"c.pt was begun with optim.lr 0.1, where 0.2 is asked for, seed 1, where 2 is asked for; resume it with"
    with pytest.raises(TgrError, match=wanted):
        loop(images, OptimOptions()).run(network(), other, resume=True, reporter=SILENT)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a checkpoint", b"\x80\x02}q\x00."])
def test_a_damaged_checkpoint_is_refused(images: ImageSet, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(TgrError, match=r"c.pt is damaged and cannot be read; train from the start by leaving out --"):
        loop(images, OptimOptions()).run(network(), Checkpoint(tmp_path / "c.pt", {}), resume=True, reporter=SILENT)
