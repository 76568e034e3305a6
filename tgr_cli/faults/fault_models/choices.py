"""The choices of a fault model in a number format, as sampling sees them.

Suffixes: F faults, K images, V candidate choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tgr_cli import seeding
from tgr_cli.errors import TgrError
from tgr_cli.faults.fault_models.fault_model import FaultModel, Piece
from tgr_cli.faults.fault_models.flip import Flip
from tgr_cli.faults.formats import Format

ENUMERATED = 64  # more choices, or unequal ones, are sampled when candidates are weighed
CANDIDATES = 64


@dataclass(frozen=True)
class Choices:
    """What a fault can do to a word of `form`; raises TgrError where the model does not suit the format."""

    model: FaultModel
    form: Format

    def __post_init__(self) -> None:
        self.model.check(self.form)

    @property
    def count(self) -> int:
        """Return the number of choices."""
        return sum(piece.count for piece in self.model.pieces(self.form))

    @property
    def noun(self) -> str:
        """Return what to call a choice in messages."""
        return "bit" if self.model == Flip() else "choice"

    @property
    def alike(self) -> bool:
        """Return whether all choices are equally likely."""
        return len(self.model.pieces(self.form)) == 1

    def drawn(self, words_F: np.ndarray, pieces_F: np.ndarray) -> np.ndarray:
        """Return one choice a fault, int64 [F], from two random 64-bit words each; the second chooses the piece."""
        return drawn(self.model.pieces(self.form), words_F, pieces_F)

    def candidates(self, seed: int, site: str, image_K: np.ndarray) -> np.ndarray:
        """Return equally likely choices to weigh for each image, int64 [K, V], or [1, V] where they are the same.

        All choices if they are few and alike, else a random part, drawn anew for each image.
        """
        if self.alike and self.count <= ENUMERATED:
            return np.arange(self.count)[None]
        drawn = [seeding.words(seed, "choices", site, int(image), count=CANDIDATES) for image in image_K]
        words_KV4 = np.stack(drawn)
        flat = self.drawn(words_KV4[..., 0].ravel(), words_KV4[..., 1].ravel())
        return flat.reshape(len(image_K), CANDIDATES)

    def bits(self, choices_F: np.ndarray) -> np.ndarray:
        """Return the bit that each choice strikes, int64 [F]; -1 where it strikes no single place."""
        return self.model.bits(choices_F, self.form)

    def stratified(self) -> "Choices":
        """Return these choices; raises TgrError where they cannot be the strata of stratified sampling: bits."""
        bits_V = self.bits(self.enumerated("--sampling stratified"))
        if bits_V.min() < 0 or len(np.unique(bits_V)) < len(bits_V):
            raise TgrError(
                f"--sampling stratified divides faults by bit, and {self.model.name} strikes no single one; "
                "use --sampling importance or uniform"
            )
        return self

    def enumerated(self, why: str) -> np.ndarray:
        """Return all choices, int64 [V]; raises TgrError, saying `why` they must be few and alike, if they are not."""
        if not self.alike or self.count > ENUMERATED:
            raise TgrError(
                f"{why} needs at most {ENUMERATED} equally likely choices for a fault, and {self.model.name} in "
                f"{self.form.name} has {self.count:,}; use another --fault-model, or leave that out"
            )
        return np.arange(self.count)


def drawn(pieces: Sequence[Piece], words_F: np.ndarray, pieces_F: np.ndarray) -> np.ndarray:
    """Return a number among those of the pieces for each pair of random 64-bit words; the second chooses the piece."""
    if len(pieces) == 1:
        return seeding.below(words_F, pieces[0].count)
    ends = np.cumsum([piece.probability for piece in pieces])
    piece_F = np.minimum(np.searchsorted(ends, seeding.unit(pieces_F) * ends[-1], side="right"), len(pieces) - 1)
    number_F, first = np.zeros(len(words_F), np.int64), 0
    for number, piece in enumerate(pieces):
        own_F = piece_F == number
        number_F[own_F] = first + seeding.below(words_F[own_F], piece.count)
        first += piece.count
    return number_F
