"""The training loop: checkpoints it cannot go on from, and trainings that cannot go on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toys import toy_net
from toys_loop import loop, network, recipe

from tgr_cli.data.datasets import ImageSet
from tgr_cli.errors import TgrError
from tgr_cli.reporting import SILENT
from tgr_cli.training.checkpoint import ResumeFile
from tgr_cli.training.distributed import Group


def test_a_loss_that_is_no_number_ends_it_in_a_sentence(images: ImageSet, tmp_path: Path) -> None:
    diverging = recipe(lr=1000.0, weight_decay=1000.0)
    with pytest.raises(TgrError, match=r"no finite number any more in epoch \d; lower --lr \(now 1000\)"):
        loop(images, diverging).run(toy_net(), ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=SILENT)
    assert not (tmp_path / "c.pt").exists()


def test_a_checkpoint_of_another_training_is_refused(images: ImageSet, tmp_path: Path) -> None:
    saved = ResumeFile(tmp_path / "c.pt", {"recipe": {"lr": 0.1, "gamma": 0.5}, "seed": 1})
    loop(images, recipe()).run(network(), saved, start=None, reporter=SILENT)
    other = ResumeFile(saved.path, {"recipe": {"lr": 0.2, "gamma": 0.5}, "seed": 2})
    wanted = r"c.pt was begun with recipe.lr 0.1, where 0.2 is asked for, seed 1, where 2 is asked for; resume it with"
    with pytest.raises(TgrError, match=wanted):
        loop(images, recipe()).run(network(), other, start=other.path, reporter=SILENT)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a checkpoint", b"\x80\x02}q\x00."])
def test_a_damaged_checkpoint_is_refused(images: ImageSet, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pt").write_bytes(content)
    saved = ResumeFile(tmp_path / "c.pt", {})
    with pytest.raises(TgrError, match=r"c.pt is damaged and cannot be read; train from the start by leaving out --"):
        loop(images, recipe()).run(network(), saved, start=saved.path, reporter=SILENT)


@pytest.mark.parametrize("where", [0.1, 0.5, 0.999])
def test_one_flipped_bit_in_a_checkpoint_is_found(images: ImageSet, tmp_path: Path, where: float) -> None:
    """torch.load alone would read another weight."""
    saved = ResumeFile(tmp_path / "c.pt", {})
    loop(images, recipe(epochs=1)).run(network(), saved, start=None, reporter=SILENT)
    damaged = bytearray(saved.path.read_bytes())
    damaged[int(where * len(damaged))] ^= 4
    saved.path.write_bytes(damaged)
    with pytest.raises(TgrError, match=r"c.pt is damaged and cannot be read"):
        loop(images, recipe(epochs=1)).run(network(), saved, start=saved.path, reporter=SILENT)


def test_a_full_disk_keeps_the_checkpoint_before(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = ResumeFile(tmp_path / "c.pt", {})
    full, syncs = OSError(28, "No space left on device"), iter([None, OSError])

    def fsync(handle: int) -> None:
        if next(syncs) is OSError:
            raise full

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(
        TgrError, match=r"c.pt could not be written \(No space left.*; epoch 1 is kept, and --resume goes"
    ):
        loop(images, recipe()).run(network(), saved, start=None, reporter=SILENT)
    assert len(torch.load(saved.path, weights_only=True)["epochs"]) == 1
    assert not list(tmp_path.glob(".*.tmp"))


def test_fewer_epochs_than_are_behind_it_are_refused(images: ImageSet, tmp_path: Path) -> None:
    saved = ResumeFile(tmp_path / "c.pt", {})
    loop(images, recipe(epochs=2)).run(network(), saved, start=None, reporter=SILENT)
    with pytest.raises(TgrError, match=r"c.pt has finished 2 epochs; give --epochs 3 or more"):
        loop(images, recipe(epochs=1)).run(network(), saved, start=saved.path, reporter=SILENT)


def test_a_checkpoint_of_a_model_that_was_built_otherwise_is_refused(images: ImageSet, tmp_path: Path) -> None:
    saved = ResumeFile(tmp_path / "c.pt", {})
    loop(images, recipe()).run(network(), saved, start=None, reporter=SILENT)
    with pytest.raises(TgrError, match=r"c.pt does not fit the model that is trained now, although its options are"):
        loop(images, recipe()).run(toy_net(), saved, start=saved.path, reporter=SILENT)


def test_a_checkpoint_that_is_a_tensor_is_refused(images: ImageSet, tmp_path: Path) -> None:
    torch.save(torch.zeros(2), tmp_path / "c.pt")
    saved = ResumeFile(tmp_path / "c.pt", {})
    with pytest.raises(TgrError, match=r"c.pt is damaged and cannot be read"):
        loop(images, recipe()).run(network(), saved, start=saved.path, reporter=SILENT)


def test_batch_norm_without_a_variance_ends_in_a_sentence(images: ImageSet, tmp_path: Path) -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 3))
    with pytest.raises(TgrError, match=r"single value for a channel in a batch of 1; give a --batch-size of 2 or more"):
        loop(images, recipe(batch_size=1)).run(model, ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=SILENT)


def test_more_processes_than_images_are_refused(images: ImageSet, tmp_path: Path) -> None:
    alone = replace(loop(images, recipe()), rows=np.arange(1), group=Group(0, 2, torch.device("cpu")))
    with pytest.raises(TgrError, match="1 training images are too few for 2 processes, each of which needs one"):
        alone.run(network(), ResumeFile(tmp_path / "c.pt", {}), start=None, reporter=SILENT)
