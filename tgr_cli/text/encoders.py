"""Text encoders: a list of texts in, one unit row a text out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text import clip_weights
from tgr_cli.text.initialise import unit_rows

DEFAULT_MODEL, DEFAULT_PRETRAINED = "ViT-B-32-quickgelu", "openai"
# Enough to keep a thousand templates apart: fewer dimensions make classes with rare words equal.
MOST_DIMENSIONS = 1024
NEGLIGIBLE = 1e-6  # of a TF-IDF row's norm, 1: what is left of it is rounding
BATCH = 64
# Words without content. scikit-learn's English list is no use here: it drops "one", "fire", "top" and "bottom".
FUNCTION_WORDS = (
    "a an and are as at be by for from has have in is it its of on or that the their they this to which with"
)


class Encoder(ABC):
    """Turns texts into vectors; `name` tells which encoder, `inputs` the SHA-256 of the files it read, by role."""

    name: str
    inputs: dict[str, str]

    @abstractmethod
    def encode(self, texts: Sequence[str], reporter: Reporter = SILENT) -> np.ndarray:
        """Return the embeddings of `texts`, float32 [N, E], rows of unit norm; raises TgrError where one has none."""


@final
class Tfidf(Encoder):
    """TF-IDF and truncated SVD over the texts themselves (scikit-learn): a stand-in for CLIP that needs no download.

    `dim` asks for a number of dimensions (None: up to 1024); distinct texts and distinct words set the limit.
    """

    name = "tfidf"

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim
        self.inputs = {}

    def encode(self, texts: Sequence[str], reporter: Reporter = SILENT) -> np.ndarray:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        reporter.note(
            "tfidf is a stand-in for CLIP: it knows classes by the words of their texts alone, not by their looks"
        )
        # Single characters count as words: digits are classes too.
        vectoriser = TfidfVectorizer(sublinear_tf=True, stop_words=FUNCTION_WORDS.split(), token_pattern=r"(?u)\b\w+\b")
        try:
            weights_NV = vectoriser.fit_transform(texts)
        except ValueError as error:
            raise TgrError("the texts hold no word that tfidf can count; write descriptions in words") from error
        empty = np.flatnonzero(np.diff(weights_NV.indptr) == 0)
        if len(empty):
            raise TgrError(f'the text "{texts[empty[0]]}" holds no word that tfidf can count; describe it in words')
        most = min(len(set(texts)), weights_NV.shape[1])
        if self.dim is not None and self.dim > most:
            reporter.note(f"{len(set(texts))} texts allow {most} dimensions, fewer than the {self.dim} asked for")
        dim = min(self.dim or MOST_DIMENSIONS, most)
        rows_NE = TruncatedSVD(dim, random_state=0).fit_transform(weights_NV)
        lost = np.flatnonzero(np.linalg.norm(rows_NE, axis=1) < NEGLIGIBLE)
        if len(lost):
            raise TgrError(
                f'{dim} dimensions have no room for the text "{texts[lost[0]]}"; give more with --embedding-dim'
            )
        return unit_rows(rows_NE)


@final
class OpenClip(Encoder):
    """A CLIP text encoder of open_clip: any of its models, with a pretrained tag or a local checkpoint.

    Raises TgrError where model, tag or file are not known, do not fit, or cannot be had.
    """

    def __init__(
        self, model: str = DEFAULT_MODEL, pretrained: str = DEFAULT_PRETRAINED, *, device: str = "cpu"
    ) -> None:
        import open_clip

        if model not in open_clip.list_models():
            hint = did_you_mean(model, open_clip.list_models())
            raise TgrError(f'open_clip has no model "{model}"; name one of its models with --clip-model.{hint}')
        weights = clip_weights.find(model, pretrained)
        self.name = f"open_clip {model}/{Path(pretrained).name}"
        self.inputs = {"weights": sha256_file(weights)}
        self.device = device
        self.model = _load(model, weights, device)
        self.tokenizer = open_clip.get_tokenizer(model)

    def encode(self, texts: Sequence[str], reporter: Reporter = SILENT) -> np.ndarray:
        import torch

        rows, truncated = [], 0
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                batch = list(texts[start : start + BATCH])
                truncated += self._too_long(batch)
                features_BE = self.model.encode_text(self.tokenizer(batch).to(self.device))
                rows.append(features_BE.float().cpu().numpy())
                reporter.progress("texts embedded", start + len(batch), len(texts))
        if truncated:
            reporter.note(
                f"{truncated} of {len(texts)} texts are longer than the {self.tokenizer.context_length} tokens that "
                f"{self.name} reads, and were cut there"
            )
        rows_NE = np.concatenate(rows)
        if not (np.isfinite(rows_NE).all() and rows_NE.any(axis=1).all()):
            raise TgrError(f"{self.name} gives numbers that are not finite, or zero rows; use another checkpoint")
        return unit_rows(rows_NE)

    def _too_long(self, texts: list[str]) -> int:
        """Return how many texts do not fit: with room for one token more, that room is not padding."""
        length = self.tokenizer.context_length + 1
        padding = self.tokenizer([""], context_length=length)[0, -1]
        return int((self.tokenizer(texts, context_length=length)[:, -1] != padding).sum())


def _load(model: str, weights: Path, device: str) -> Any:
    import pickle

    import open_clip

    try:
        loaded = open_clip.create_model(model, pretrained=str(weights), device=device, require_pretrained=True)
    except (RuntimeError, OSError, ValueError, KeyError, AttributeError, ImportError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[:2] or [type(error).__name__]
        raise TgrError(
            f"{weights} could not be loaded into open_clip's {model} on {device} "
            f"({' '.join(reason)[:200]}); name the model it was saved from with --clip-model"
        ) from error
    return loaded.eval()
