"""Batches are the same for every order, batch size, number of workers and repetition."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from toys import write_toy_parquet

from tgr_cli.data import loading
from tgr_cli.data.datasets import DataSource, ImageSet, batches, open_split
from tgr_cli.data.transforms import Preprocessing, Transform, evaluation, training
from tgr_cli.errors import TgrError

PRE = Preprocessing(resize=None, crop=8, mean=(0.4,), std=(0.3,), channels=1)

# Python 3.12 warns about DataLoader's use of fork on Linux.
FORKING = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    path = write_toy_parquet(tmp_path_factory.mktemp("toys") / "toys.parquet", 30)
    return open_split(DataSource(dataset=f"parquet:{path}"), "eval")


def collected(images: ImageSet, transform: Transform, **how: object) -> tuple[torch.Tensor, torch.Tensor]:
    found = list(batches(images, transform, **{"batch_size": 7, **how}))
    return torch.cat([x for x, _ in found]), torch.cat([y for _, y in found])


def test_batches_are_the_pictures_in_order(images: ImageSet) -> None:
    transform = evaluation(PRE)
    found = list(batches(images, transform, batch_size=8))
    assert [len(x) for x, _ in found] == [8, 8, 8, 6]
    x_NCHW, labels_N = torch.cat([x for x, _ in found]), torch.cat([y for _, y in found])
    assert x_NCHW.dtype == torch.float32
    assert labels_N.dtype == torch.int64
    assert labels_N.tolist() == images.labels.tolist()
    assert torch.equal(x_NCHW, torch.stack([transform(images.image(n)) for n in range(30)]))


def test_a_sample_takes_even_steps_and_its_own_pictures(images: ImageSet) -> None:
    sample = images.sample(10)
    assert sample.ids == tuple(f"toy/{n}.png" for n in range(0, 30, 3))
    assert sample.labels.tolist() == images.labels[::3].tolist()
    expected, _ = collected(images, evaluation(PRE))
    assert torch.equal(collected(sample, evaluation(PRE))[0], expected[::3])
    assert images.sample(99).ids == images.ids
    turned = sample.take([9, 0])
    assert turned.ids == ("toy/27.png", "toy/0.png")
    assert turned.image(0).tobytes() == images.image(27).tobytes()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(30)),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 2**62),
    augment=st.sampled_from(["none", "flip", "crop", "imagenet"]),
)
def test_a_picture_depends_on_seed_and_position_alone(
    images: ImageSet, order: list[int], batch_size: int, seed: int, augment: str
) -> None:
    transform = training(PRE, augment)
    expected, labels = collected(images, transform, seed=seed)
    fresh = replace(images, kept={})
    found, found_labels = collected(fresh, transform, seed=seed, order=order, batch_size=batch_size)
    assert torch.equal(found, expected[order])
    assert torch.equal(found_labels, labels[order])


def test_augmentation_changes_with_the_seed_and_between_pictures(images: ImageSet) -> None:
    transform = training(PRE, "crop")
    one, _ = collected(images, transform, seed=1)
    two, _ = collected(images, transform, seed=2)
    assert not torch.equal(one, two)
    same = replace(images, read=lambda _: images.read(0), kept={})
    assert len({x.numpy().tobytes() for x in collected(same, transform)[0]}) > 20


@FORKING
@pytest.mark.parametrize("augment", ["crop", "imagenet"])
def test_workers_change_nothing(images: ImageSet, augment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = collected(images, training(PRE, augment), seed=3)
    monkeypatch.setattr(loading, "KEPT_SIDE", 0)
    for workers in (0, 2):
        found = collected(replace(images, kept={}), training(PRE, augment), seed=3, workers=workers)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])


@FORKING
def test_large_pictures_are_decoded_once_unless_workers_decode_them(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "KEPT_SIDE", 7)
    decoded: list[int] = []
    watched = replace(images, read=lambda n: decoded.append(n) or images.read(n), kept={})
    first, again = (collected(watched, evaluation(PRE))[0] for _ in range(2))
    assert decoded == list(range(30))
    assert torch.equal(first, again)
    others = replace(images, kept={})
    assert torch.equal(collected(others, evaluation(PRE), workers=1)[0], first)
    assert others.kept == {}


def test_small_pictures_are_decoded_once(images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    watched = replace(images, read=lambda n: decoded.append(n) or images.read(n), kept={})
    for seed in range(3):
        collected(watched, training(PRE, "crop"), seed=seed)
    assert decoded == list(range(30))
    other = replace(PRE, resize=9)
    assert torch.equal(
        collected(watched, evaluation(other))[0], collected(replace(images, kept={}), evaluation(other))[0]
    )
    assert len(decoded) == 60  # the cache distinguishes preprocessings
    assert not watched.sample(5).kept
    monkeypatch.setattr(loading, "KEPT_BYTES", 30 * 64 - 1)
    large = replace(watched, kept={})
    collected(large, evaluation(PRE))
    collected(large, evaluation(PRE))
    assert (len(decoded), large.kept) == (120, {})


def test_no_global_generator_moves(images: ImageSet) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    for augment in ("crop", "imagenet"):
        collected(images, training(PRE, augment))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]


@FORKING
@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_picture_is_one_sentence_from_any_process(
    images: ImageSet, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "KEPT_SIDE", 0)

    def read(number: int) -> object:
        if number == 9:
            raise OSError("image file is truncated")
        return images.read(number)

    broken = replace(images, read=read, kept={})
    with pytest.raises(TgrError) as caught:
        collected(broken, evaluation(PRE), workers=workers)
    assert str(caught.value) == (
        "image toy/9.png of toys.parquet cannot be decoded (image file is truncated); mend or remove it"
    )


def test_a_picture_too_narrow_to_resize_is_named(images: ImageSet) -> None:
    narrow = replace(images, read=lambda _: Image.new("L", (60_000, 1)), kept={})
    with pytest.raises(TgrError) as caught:
        collected(narrow, evaluation(replace(PRE, resize=64)))
    assert str(caught.value) == (
        "image toy/0.png of toys.parquet: 60000×1 pixels are too narrow to resize to 64; crop the image first"
    )


@pytest.mark.shared
def test_real_cifar_batches(shared_data: Path) -> None:
    images = open_split(DataSource(dataset=f"parquet:{shared_data / 'cifar10'}"), "eval").sample(64)
    pre = Preprocessing(resize=None, crop=32, mean=(0.4914, 0.4822, 0.4465), std=(0.247, 0.2435, 0.2616))
    x_NCHW, labels_N = collected(images, evaluation(pre))
    assert x_NCHW.shape == (64, 3, 32, 32)
    assert labels_N.tolist() == images.labels.tolist()
    assert abs(x_NCHW.mean()) < 0.3
