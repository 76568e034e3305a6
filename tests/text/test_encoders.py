"""The text encoders: TF-IDF against its definition, open_clip against its own zero-shot head."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from tiny_clip import NAME, tiny_clip

from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.text import prompts
from tgr_cli.text.encoders import FUNCTION_WORDS, OpenClip, Tfidf
from tgr_cli.text.initialise import class_embeddings


class Heard(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, what: str, done: int, total: int) -> None:
        self.steps.append((done, total))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Path]:
    with tiny_clip(tmp_path) as path:
        yield path


DIGITS = [text for texts in prompts.load("digits").descriptions.values() for text in texts]


def test_tfidf_at_full_rank_keeps_the_cosines_of_tfidf() -> None:
    """With as many dimensions as texts the SVD is a rotation: cosines are those of scikit-learn's TF-IDF rows."""
    heard = Heard()
    found = Tfidf().encode(DIGITS, heard)
    weights = TfidfVectorizer(sublinear_tf=True, stop_words=FUNCTION_WORDS.split(), token_pattern=r"(?u)\b\w+\b")
    expected = weights.fit_transform(DIGITS)
    assert found.shape == (50, 50)
    np.testing.assert_allclose(found @ found.T, (expected @ expected.T).toarray(), atol=2e-6)
    np.testing.assert_array_equal(found, Tfidf().encode(DIGITS))
    assert "stand-in for CLIP" in heard.notes[0]


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
    with pytest.raises(TgrError, match='1 dimensions have no room for the text "blue sky"; give more with'):
        Tfidf(1).encode(["red apple", "red apple", "blue sky"])


def test_open_clip_equals_its_own_zero_shot_head(checkpoint: Path) -> None:
    names = ["dog", "cat", "ship"]
    texts = [[f"a photo of a {n}", f"a drawing of a {n}"] for n in names]
    encoder = OpenClip(NAME, str(checkpoint))
    heard = Heard()
    rows = encoder.encode([text for of_class in texts for text in of_class], heard)
    model = open_clip.create_model(NAME, pretrained=str(checkpoint)).eval()
    with torch.inference_mode():
        expected = open_clip.build_zero_shot_classifier(
            model, open_clip.get_tokenizer(NAME), names, ["a photo of a {}", "a drawing of a {}"]
        ).T.numpy()
    np.testing.assert_allclose(class_embeddings(np.split(rows, 3)), expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    assert heard.notes == []
    assert heard.steps == [(6, 6)]
    assert encoder.name == "open_clip tiny-clip/tiny.pt"
    assert len(encoder.inputs["weights"]) == 64


def test_open_clip_counts_the_texts_it_cuts(checkpoint: Path) -> None:
    """The tiny model reads 24 tokens: start, 22 words, end."""
    heard = Heard()
    rows = OpenClip(NAME, str(checkpoint)).encode(["dog " * 22, "dog " * 23, "dog " * 40, "cat"] * 40, heard)
    assert rows.shape == (160, 16)
    assert heard.notes == [
        "80 of 160 texts are longer than the 24 tokens that open_clip tiny-clip/tiny.pt reads, and were cut there"
    ]
    assert heard.steps == [(64, 160), (128, 160), (160, 160)]


@pytest.mark.parametrize("damage", ["truncated", "other", "pickle", "nan"])
def test_checkpoints_that_do_not_load_are_refused(checkpoint: Path, damage: str) -> None:
    if damage == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    elif damage == "other":
        torch.save({"conv.weight": torch.ones(2, 2)}, checkpoint)
    elif damage == "pickle":
        torch.save({"state_dict": {"x": Path}}, checkpoint)
    else:
        state = torch.load(checkpoint, weights_only=True)
        state["text_projection"].fill_(float("nan"))
        torch.save(state, checkpoint)
    words = "not finite" if damage == "nan" else "could not be loaded into open_clip's tiny-clip"
    with pytest.raises(TgrError, match=re.escape(words)) as caught:
        OpenClip(NAME, str(checkpoint)).encode(["a dog"])
    assert "\n" not in str(caught.value)


def test_unknown_model_and_tag_name_the_nearest() -> None:
    with pytest.raises(TgrError, match=r'no model "ViT-B-23".*Did you mean "ViT-B-32"'):
        OpenClip("ViT-B-23")
    with pytest.raises(TgrError, match=r'"openay" is neither a file nor a pretrained tag.*Did you mean "openai"'):
        OpenClip(pretrained="openay")
