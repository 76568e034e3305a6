"""Preprocessing settings, and the transforms compared with torchvision's."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from tgr_cli import seeding
from tgr_cli.data.transforms import (
    PADDING,
    Preprocessing,
    PreprocessingOptions,
    augmentation_words,
    evaluation,
    training,
)
from tgr_cli.errors import TgrError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = Preprocessing(resize=40, crop=32, mean=MEAN, std=STD)
CIFAR = Preprocessing(resize=None, crop=8, mean=(0.5,) * 3, std=(0.25,) * 3)
PLAIN = Preprocessing(resize=None, crop=8, mean=(0.0,), std=(1.0,), channels=1)


def picture(width: int, height: int, channels: int = 3, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])


def test_tests_resize_each_small_picture_once_under_each_setting() -> None:
    """`resized` keeps pixels for the other tests; they stay as they are, and other settings or pixels have others."""
    image, wide = picture(12, 12), Preprocessing(resize=12, crop=8, mean=MEAN, std=STD)
    first = evaluation(wide).pixels(image, 0)
    evaluation(wide).pixels(image, 1).zero_()
    assert torch.equal(evaluation(wide).pixels(image.copy(), 2), first)
    assert torch.equal(first, torch.from_numpy(np.array(image)[2:10, 2:10]).permute(2, 0, 1))
    assert not torch.equal(evaluation(Preprocessing(resize=8, crop=8, mean=MEAN, std=STD)).pixels(image, 0), first)
    assert not torch.equal(evaluation(wide).pixels(picture(12, 12, seed=1), 0), first)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(64, 48), (30, 90), (40, 40)])
def test_evaluation_is_torchvisions(interpolation: str, size: tuple[int, int]) -> None:
    pre = Preprocessing(resize=40, crop=32, mean=MEAN, std=STD, interpolation=interpolation)
    reference = v2.Compose(
        [
            v2.Resize(40, interpolation=InterpolationMode(interpolation)),
            v2.CenterCrop(32),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    image = picture(*size)
    assert torch.equal(evaluation(pre)(image), reference(image))
    assert torch.equal(training(pre, "none")(image, seed=5), reference(image))


def test_channels_and_small_pictures() -> None:
    grey = picture(4, 6, channels=1)
    x_CHW = evaluation(PLAIN)(grey)
    assert x_CHW.shape == PLAIN.input_shape == (1, 8, 8)
    inside = torch.from_numpy(np.asarray(grey).astype(np.float32) / 255)
    assert torch.allclose(x_CHW[0, 1:7, 2:6], inside, rtol=1e-6, atol=0)
    assert x_CHW.count_nonzero() == inside.count_nonzero()  # zeros all around
    rgb = evaluation(CIFAR)(grey)
    assert torch.equal(rgb[0], rgb[2])
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    assert evaluation(PLAIN)(red)[0, 0, 0].item() == pytest.approx(
        76 / 255
    )  # ITU-R 601-2 luma, as Pillow documents: 0.299 × 255


def test_every_augmented_picture_is_a_mirrored_window() -> None:
    image = picture(8, 8, channels=1)
    x_HW = evaluation(PLAIN)(image)[0]
    padded = torch.nn.functional.pad(x_HW, (PADDING,) * 4)
    transform = training(PLAIN, "crop")
    pixels = torch.stack([transform.pixels(image, 0)] * 300)
    words = augmentation_words(1, 300)
    seen = set()
    top = seeding.below(words[:, 1], 9)
    left = seeding.below(words[:, 2], 9)
    for number, found in enumerate(transform.finish(pixels, words)):
        y, x, mirrored = int(top[number]), int(left[number]), bool(words[number, 0] >> np.uint64(63))
        window = padded[y : y + 8, x : x + 8]
        assert torch.equal(found[0], window.flip(-1) if mirrored else window)
        seen.add((y, x, mirrored))
    assert {y for y, _, _ in seen} == {x for _, x, _ in seen} == set(range(9))
    assert {mirrored for *_, mirrored in seen} == {False, True}


def test_flip_mirrors_about_half() -> None:
    image = picture(8, 8)
    straight = evaluation(CIFAR)(image)
    mirrored = [torch.equal(training(CIFAR, "flip")(image, seed), straight.flip(-1)) for seed in range(200)]
    same = [torch.equal(training(CIFAR, "flip")(image, seed), straight) for seed in range(200)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 70 <= sum(mirrored) <= 130  # binomial(200, 1/2): 4 standard deviations


def test_imagenet_crop_is_torchvisions_under_the_seed() -> None:
    image = picture(60, 50)
    transform = training(IMAGENET, "imagenet")
    for word in (3, 4):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(word)
            expected = v2.PILToTensor()(v2.RandomResizedCrop(32)(image))
        assert torch.equal(transform.pixels(image, word), expected)
    assert not torch.equal(transform.pixels(image, 3), transform.pixels(image, 4))
    assert not transform.repeatable


@pytest.mark.parametrize("augment", ["none", "flip", "crop", "imagenet"])
def test_no_global_generator_moves(augment: str) -> None:
    before = torch.get_rng_state()
    one = training(IMAGENET, augment)(picture(50, 50), seed=1)
    torch.rand(3)
    two = training(IMAGENET, augment)(picture(50, 50), seed=1)
    torch.set_rng_state(before)
    training(IMAGENET, augment)(picture(50, 50), seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two)


def test_preprocessing_there_and_back() -> None:
    for pre in (IMAGENET, CIFAR, PLAIN):
        assert Preprocessing.from_json(json.loads(json.dumps(pre.to_json()))) == pre
    with pytest.raises(
        TgrError, match=r"where channels, crop, crop_mode, interpolation, mean, resize, std are expected"
    ):
        Preprocessing.from_json({"crop": 3})
    with pytest.raises(TgrError, match="whose values are of another type"):
        Preprocessing.from_json(IMAGENET.to_json() | {"mean": 3})
    with pytest.raises(TgrError, match="whose values are of another type"):
        Preprocessing.from_json(IMAGENET.to_json() | {"crop": 31.5})


def test_options_override() -> None:
    options = PreprocessingOptions(resize=48, crop=24, mean="0.1, 0.2,0.3", std="1,1,1", interpolation="bicubic")
    assert options.override(IMAGENET) == Preprocessing(
        resize=48, crop=24, mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0), interpolation="bicubic"
    )
    assert PreprocessingOptions().override(IMAGENET) == IMAGENET


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"resize": 16},
            "a crop of 32 pixels does not fit into images resized to 16; give --resize and --crop so that",
        ),
        ({"crop": 0}, "a crop of 0 pixels does not fit into images resized to 40;"),
        ({"crop": 64}, "a crop of 64 pixels does not fit into images resized to 40;"),
        ({"mean": "0.5"}, "--mean has 1 values for 3 channels; give one a channel"),
        ({"mean": "a,b,c"}, '--mean is "a,b,c", not numbers; write them as 0.485,0.456,0.406'),
        ({"std": "1,0,1"}, "--std is 1,0,1, which cannot normalise; give finite numbers, --std above 0"),
        ({"mean": "nan,0,0"}, "--mean is nan,0,0, which cannot normalise;"),
        (
            {"interpolation": "bilinaer"},
            '--interpolation is "bilinaer"; use .* Did you mean "bilinear"?',
        ),
    ],
)
def test_options_that_do_not_fit(options: dict, words: str) -> None:
    with pytest.raises(TgrError, match=words):
        PreprocessingOptions(**options).override(IMAGENET)


def test_unknown_augmentation_and_channels() -> None:
    with pytest.raises(TgrError, match=r'--augment is "crops"; use one of none, .* Did you mean "crop"\?'):
        training(CIFAR, "crops")
    with pytest.raises(TgrError, match=r"images with 4 channels are not supported; use 1 \(grey\) or 3 \(RGB\)"):
        Preprocessing(resize=None, crop=8, mean=(0.0,) * 4, std=(1.0,) * 4, channels=4)


PICTURES = [
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8))
    for h, w in ((60, 80), (100, 46), (18, 62))
]


@pytest.mark.parametrize("mean", [(0.485, 0.456, 0.406), (0.5,)])
@pytest.mark.parametrize(
    ("crop_mode", "crop_pct", "interpolation"),
    [
        ("center", 0.875, "bicubic"),
        ("center", 1.1, "bilinear"),
        ("center", 0.9, "lanczos"),
        ("squash", 1.0, "bicubic"),
        ("squash", 0.8, "nearest"),
        ("border", 1.0, "bicubic"),
        ("border", 0.9, "bilinear"),
        ("border", 1.2, "hamming"),
    ],
)
def test_a_librarys_preprocessing_is_timms_own_pixel_for_pixel(
    crop_mode: str, crop_pct: float, interpolation: str, mean: tuple[float, ...]
) -> None:
    from timm.data import create_transform, resolve_data_config

    from tgr_cli.models.from_timm import _preprocessing

    config = {"input_size": (3, 32, 32), "crop_pct": crop_pct, "crop_mode": crop_mode, "interpolation": interpolation}
    config |= {"mean": mean, "std": (0.25,) * len(mean)}
    data = resolve_data_config(pretrained_cfg=config)
    ours, theirs = evaluation(_preprocessing(config)), create_transform(**data | {"mean": mean * (3 // len(mean))})
    for picture in PICTURES:
        torch.testing.assert_close(ours(picture), theirs(picture), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"crop_mode": "fit"}, '--crop-mode is "fit"; use one of center, pad, squash, border'),
        ({"interpolation": "random"}, '--interpolation is "random"; use one of nearest'),
        ({"input_size": (4, 32, 32), "mean": (0.5,), "std": (0.5,)}, "images with 4 channels are not supported"),
        ({"input_size": (3, 32, 24)}, "images of 32×24 pixels; tgr can only prepare square ones"),
        ({"mean": (0.5, 0.5)}, "--mean has 2 values for 3 channels"),
    ],
)
def test_a_librarys_preprocessing_that_cannot_be_honoured_is_refused(config: dict, words: str) -> None:
    from tgr_cli.models.from_timm import _preprocessing

    with pytest.raises(TgrError, match=words):
        _preprocessing({"input_size": (3, 32, 32)} | config)


def test_crop_modes_survive_the_card_and_older_cards_are_centred() -> None:
    squash = PreprocessingOptions(crop_mode="squash").override(IMAGENET)
    assert Preprocessing.from_json(squash.to_json()) == squash
    older = {name: value for name, value in IMAGENET.to_json().items() if name != "crop_mode"}
    assert Preprocessing.from_json(older) == IMAGENET
    with pytest.raises(TgrError, match="crop mode border brings images to a size; give it with --resize"):
        PreprocessingOptions(crop_mode="border").override(CIFAR)
