"""Text encoders: a list of texts in, one unit row a text out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np

from tgr_cli.errors import TgrError
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text.initialise import unit_rows

# Enough to keep a thousand templates apart: fewer dimensions make classes with rare words equal.
MOST_DIMENSIONS = 1024
NEGLIGIBLE = 1e-6  # of a TF-IDF row's norm, 1: what is left of it is rounding
# Words without content. scikit-learn's English list is no use here: it drops "one", "fire", "top" and "bottom".
FUNCTION_WORDS = (
    "a an and are as at be by for from has have in is it its of on or that the their they this to which with"
)


class Encoder(ABC):
    """Turns texts into vectors; `name` tells which encoder, `inputs` the SHA-256 of the files it read, by role.

    `truncated` counts the texts that were cut because they are too long, of those that were last encoded.
    """

    name: str
    inputs: dict[str, str]
    truncated: int = 0

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
