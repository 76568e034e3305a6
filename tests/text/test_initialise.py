"""The initial class embeddings of a head."""

import numpy as np
import pytest

from tgr_cli.text.initialise import class_embeddings, closest, random_embeddings, spread, unit_rows


def test_class_embedding_is_the_normalised_mean_of_normalised_rows() -> None:
    """By hand: (3, 4) and (0, 10) are (.6, .8) and (0, 1); their mean (.3, .9) has norm sqrt(.9)."""
    found = class_embeddings([np.array([[3.0, 4.0], [0.0, 10.0]]), np.array([[-5.0, 0.0]])])
    np.testing.assert_allclose(found, [[0.3 / 0.9**0.5, 0.9 / 0.9**0.5], [-1, 0]], rtol=1e-6)
    assert found.dtype == np.float32


def test_unit_rows_survive_extreme_scales() -> None:
    found = unit_rows(np.array([[1e200, 1e200], [1e-200, 0.0]]))
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5], [1, 0]], rtol=1e-6)


def test_random_embeddings_depend_on_the_seed_alone() -> None:
    first = random_embeddings(7, 64, seed=3)
    np.random.default_rng(0).random(5)
    np.testing.assert_array_equal(first, random_embeddings(7, 64, seed=3))
    assert not np.array_equal(first, random_embeddings(7, 64, seed=4))
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-6)
    assert np.abs(first.mean()) < 0.05


def test_spread_and_closest_pairs() -> None:
    rows = unit_rows(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]))
    assert closest(rows, 2)[0][:2] == (0, 2)
    assert closest(rows, 2)[0][2] == pytest.approx(1 / 1.01**0.5)
    assert [pair[:2] for pair in closest(rows, 9)] == [(0, 2), (1, 2), (0, 1)]
    assert spread(rows[0], np.array([[5.0, 0.0], [0.0, 2.0]])) == pytest.approx(0.5)
