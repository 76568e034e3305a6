"""The order of training images, and their distribution over processes."""

import numpy as np

from tgr_cli import seeding


def epoch_order(rows: np.ndarray, available: int, *, seed: int, epoch: int, repeats: int, total: int) -> np.ndarray:
    """Return the positions of one epoch's images for `batches`, int64, as many as there are `rows`.

    `rows` are the training images' positions among the `available` ones, `total` the images per step. With `repeats` a
    step has total / repeats distinct images, each in `repeats` differently augmented copies, and an epoch has as many
    fewer distinct images (repeated augmentation: Hoffer et al., "Augment your batch", CVPR 2020).
    """
    order = seeding.generator(seed, "order", epoch).permutation(rows)
    if repeats == 1:
        return order
    shown = order[: -(-len(order) // repeats)]
    pieces, distinct = [], max(1, total // repeats)
    for start in range(0, len(shown), distinct):
        images = shown[start : start + distinct]
        # Order by copy, not by image: mixup mixes neighbours, which must be different images.
        pieces.append((images + available * np.arange(repeats)[:, None]).ravel())
    return np.concatenate(pieces)[: len(order)]


def without_lone_rest(order: np.ndarray, total: int, world: int) -> np.ndarray:
    """Drop an incomplete last step with fewer than two images per process, which batch norm needs.

    The order is shuffled, so other images are dropped in the next epoch.
    """
    rest = len(order) % total
    return order[: len(order) - rest] if rest < 2 * world and rest < len(order) else order


def left_out(images: int, total: int, world: int) -> list[str]:
    """Return a note on the images that `without_lone_rest` drops in each epoch, [] if none."""
    rest = images % total
    if not (0 < rest < 2 * world and rest < images):
        return []
    return [
        f"{rest} of {images:,} training images, others in each epoch, are left out: a last step of fewer than two "
        "images in a process has none for batch norm; another --batch-size shows all of them"
    ]


def share(order: np.ndarray, total: int, rank: int, world: int) -> np.ndarray:
    """Return process `rank`'s part of each step's `total` images: every `world`-th one."""
    full = len(order) // total * total
    return np.concatenate([order[:full].reshape(-1, total)[:, rank::world].ravel(), order[full:][rank::world]])
