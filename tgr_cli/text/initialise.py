"""The initial matrix of a text-guided head: one unit-norm row per class."""

from collections.abc import Sequence

import numpy as np

from tgr_cli import seeding


def unit_rows(matrix_NE: np.ndarray) -> np.ndarray:
    """Return the rows scaled to unit Euclidean norm, float32 [N, E]; no row may be zero."""
    wide_NE = matrix_NE.astype(np.float64)
    # Divide by the largest entry first, so that no square overflows.
    wide_NE = wide_NE / np.abs(wide_NE).max(axis=1, keepdims=True)
    return (wide_NE / np.linalg.norm(wide_NE, axis=1, keepdims=True)).astype(np.float32)


def class_embeddings(texts_by_class: Sequence[np.ndarray]) -> np.ndarray:
    """Return class embeddings, float32 [C, E]: the L2-normalised mean of each class's L2-normalised rows.

    `texts_by_class` has one array [texts, E] per class. Source: text-guided resilience, NeurIPS 2023, section 4.
    """
    means_CE = [unit_rows(texts_DE).astype(np.float64).mean(axis=0) for texts_DE in texts_by_class]
    return unit_rows(np.stack(means_CE))


def random_embeddings(classes: int, dim: int, seed: int) -> np.ndarray:
    """Return unit vectors drawn uniformly from the sphere, float32 [classes, dim], determined by `seed`."""
    return unit_rows(seeding.generator(seed, "random embeddings").standard_normal((classes, dim)))


def spread(embedding_E: np.ndarray, texts_DE: np.ndarray) -> float:
    """Return the mean cosine similarity between a class embedding and its texts' embeddings, 1 if all are equal."""
    return float((unit_rows(texts_DE).astype(np.float64) @ embedding_E.astype(np.float64)).mean())


def closest(embeddings_CE: np.ndarray, count: int) -> list[tuple[int, int, float]]:
    """Return the `count` pairs of classes with the highest cosine similarity, in descending order."""
    cosines_CC = embeddings_CE.astype(np.float64) @ embeddings_CE.astype(np.float64).T
    first, second = np.triu_indices(len(embeddings_CE), k=1)
    order = np.argsort(-cosines_CC[first, second], kind="stable")[:count]
    return [(int(first[n]), int(second[n]), float(cosines_CC[first[n], second[n]])) for n in order]
