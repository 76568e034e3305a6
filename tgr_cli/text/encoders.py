"""Text encoders: texts in, one unit-norm embedding per text out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np

from tgr_cli.errors import TgrError
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text.initialise import unit_rows

# Enough to separate a thousand templates; with fewer dimensions, classes with rare words get equal embeddings.
MOST_DIMENSIONS = 1024
NEGLIGIBLE = 1e-6  # norm below which a TF-IDF row (norm 1) is rounding error
# Stop words. scikit-learn's English list is unsuitable: it contains "one", "fire", "top" and "bottom".
FUNCTION_WORDS = (
    "a an and are as at be by for from has have in is it its of on or that the their they this to which with"
)


class Encoder(ABC):
    """A text encoder; `name` identifies it, `inputs` maps the role of each file read to its SHA-256.

    `truncated` counts the texts of the last call that were cut at the maximum number of tokens.
    """

    name: str
    inputs: dict[str, str]
    truncated: int = 0

    @abstractmethod
    def encode(self, texts: Sequence[str], reporter: Reporter = SILENT) -> np.ndarray:
        """Return unit-norm embeddings of `texts`, float32 [N, E]; raises TgrError for a text without an embedding."""


@final
class Tfidf(Encoder):
    """TF-IDF with truncated SVD, fitted on the texts themselves (scikit-learn): an offline substitute for CLIP.

    `dim` is the number of dimensions (None: up to 1024), limited by the number of distinct texts and words.
    """

    name = "tfidf"

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim
        self.inputs = {}

    def encode(self, texts: Sequence[str], reporter: Reporter = SILENT) -> np.ndarray:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        reporter.note("tfidf is a substitute for CLIP: it compares the words of the texts, not their meaning")
        # Single characters count as words, for digit classes.
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
                f'{dim} dimensions are too few to represent the text "{texts[lost[0]]}"; give more with --embedding-dim'
            )
        return unit_rows(rows_NE)
