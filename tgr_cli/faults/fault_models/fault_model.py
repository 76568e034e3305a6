"""The interface of fault models: what a fault does to a code word, as numbered choices.

Suffixes: F faults, V choices.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tgr_cli.faults.formats import Format
from tgr_cli.faults.upset import Upset


@dataclass(frozen=True)
class Piece:
    """`count` equally likely choices that have this probability together."""

    count: int
    probability: float


class FaultModel(ABC):
    """A distribution over changes of a code word, numbered from 0: the choices.

    A choice describes the change fully, so that a stored fault can be run again.
    """

    name: str

    def check(self, form: Format) -> None:
        """Raise TgrError for a format that this model does not suit."""
        del form

    @abstractmethod
    def pieces(self, form: Format) -> tuple[Piece, ...]:
        """Return the choices in order, in groups of equally likely ones; the probabilities add up to 1."""

    @abstractmethod
    def upset(self, choices: Tensor, form: Format) -> Upset:
        """Return the change of each choice, an int64 tensor of any shape."""

    def bits(self, choices_F: np.ndarray, form: Format) -> np.ndarray:
        """Return the bit that each choice strikes, the lowest of a burst, int64 [F]; -1 where no single place is."""
        del form
        return np.full(len(choices_F), -1)

    @property
    def needs_ranges(self) -> bool:
        """Return whether what a fault does depends on the range of the site's values."""
        return False
