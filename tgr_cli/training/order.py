"""Which image comes when, and in which process."""

import numpy as np

from tgr_cli import seeding


def epoch_order(rows: np.ndarray, available: int, *, seed: int, epoch: int, repeats: int, total: int) -> np.ndarray:
    """Return the positions of one epoch's images for `batches`, int64, as many as there are `rows`.

    `rows` are the training images' positions among the `available` ones, `total` the images of a step. With `repeats` a
    step shows total / repeats images, each in as many copies that are augmented in other ways, and an epoch as many
    fewer images (repeated augmentation: Hoffer et al., "Augment your batch", CVPR 2020).
    """
    order = seeding.generator(seed, "order", epoch).permutation(rows)
    if repeats == 1:
        return order
    shown = order[: -(-len(order) // repeats)]
    pieces, distinct = [], max(1, total // repeats)
    for start in range(0, len(shown), distinct):
        images = shown[start : start + distinct]
        # Copy after copy, so that mixup, which mixes neighbours, mixes different images.
        pieces.append((images + available * np.arange(repeats)[:, None]).ravel())
    return np.concatenate(pieces)[: len(order)]


def without_lone_rest(order: np.ndarray, total: int, world: int) -> np.ndarray:
    """Return the order without a last step that has too few images: batch norm needs two in every process.

    Others are left out in the next epoch.
    """
    rest = len(order) % total
    return order[: len(order) - rest] if rest < 2 * world and rest < len(order) else order


def left_out(images: int, total: int, world: int) -> list[str]:
    """Return a sentence on the images that `without_lone_rest` leaves out of each epoch of so many, if any."""
    rest = images % total
    if not (0 < rest < 2 * world and rest < images):
        return []
    return [
        f"{rest} of {images:,} training images, others in each epoch, are left out: a last step of fewer than two "
        "images in a process has none for batch norm; another --batch-size shows all of them"
    ]


def share(order: np.ndarray, total: int, rank: int, world: int) -> np.ndarray:
    """Return the part of each step's `total` images that process `rank` of `world` takes: every world-th."""
    full = len(order) // total * total
    return np.concatenate([order[:full].reshape(-1, total)[:, rank::world].ravel(), order[full:][rank::world]])
