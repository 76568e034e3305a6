"""TF-IDF compared with its definition."""

import numpy as np
import pytest

from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.text import prompts
from tgr_cli.text.encoders import FUNCTION_WORDS, Tfidf


class Heard(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


DIGITS = [text for texts in prompts.load("digits").descriptions.values() for text in texts]


def test_tfidf_at_full_rank_keeps_the_cosines_of_tfidf() -> None:
    """With as many dimensions as texts the SVD is a rotation, so cosines equal those of scikit-learn's TF-IDF rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    heard = Heard()
    found = Tfidf().encode(DIGITS, heard)
    weights = TfidfVectorizer(sublinear_tf=True, stop_words=FUNCTION_WORDS.split(), token_pattern=r"(?u)\b\w+\b")
    expected = weights.fit_transform(DIGITS)
    assert found.shape == (50, 50)
    np.testing.assert_allclose(found @ found.T, (expected @ expected.T).toarray(), atol=2e-6)
    np.testing.assert_array_equal(found, Tfidf().encode(DIGITS))
    assert "substitute for CLIP" in heard.notes[0]


def test_tfidf_dimensions_are_capped_and_told() -> None:
    heard = Heard()
    assert Tfidf(20).encode(DIGITS, heard).shape == (50, 20)
    assert len(heard.notes) == 1
    assert Tfidf(600).encode(DIGITS, heard).shape == (50, 50)
    assert heard.notes[-1] == "50 texts allow 50 dimensions, fewer than the 600 asked for"


def test_tfidf_tells_single_characters_apart_and_refuses_texts_without_words() -> None:
    found = Tfidf().encode([f"a photo of the number {n}" for n in range(10)])
    assert (found @ found.T)[~np.eye(10, dtype=bool)].max() < 0.9
    with pytest.raises(TgrError, match='the text "!!!" holds no word that tfidf can count'):
        Tfidf().encode(["a dog", "!!!"])
    with pytest.raises(TgrError, match="hold no word"):
        Tfidf().encode(["!!!", "the"])
    with pytest.raises(TgrError, match='1 dimensions are too few to represent the text "blue sky"; give more with'):
        Tfidf(1).encode(["red apple", "red apple", "blue sky"])
