"""Counter-based random numbers: every draw is a function of a seed and a key, independent of earlier draws.

Philox 4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), as implemented in numpy. No
global generator is read or changed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

WORDS_PER_DRAW = 4


def _key(seed: int, parts: tuple[str | int, ...]) -> int:
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def words(seed: int, *parts: str | int, count: int) -> np.ndarray:
    """Return `count` draws of four random 64-bit words, uint64 of shape [count, 4].

    Row i depends on `seed`, `parts` and i only, so a longer result starts with the rows of a shorter one.
    """
    raw = np.random.Philox(key=_key(seed, parts), counter=0).random_raw(count * WORDS_PER_DRAW)
    return raw.reshape(count, WORDS_PER_DRAW)


def below(words_N: np.ndarray, bound: int) -> np.ndarray:
    """Return integers in [0, bound), int64 of shape [N], one per 64-bit word: the high half of word × bound.

    Probabilities differ from 1 / bound by at most 2⁻⁶⁴ (Lemire, "Fast random integer generation in an interval", ACM
    TOMACS 2019, without the rejection step). Needs 1 ≤ bound ≤ 2³².
    """
    assert 1 <= bound <= 2**32, bound
    factor, half = np.uint64(bound), np.uint64(32)
    high, low = words_N >> half, words_N & np.uint64(0xFFFFFFFF)
    return ((high * factor + ((low * factor) >> half)) >> half).astype(np.int64)


def unit(words: np.ndarray) -> np.ndarray:
    """Return numbers in [0, 1), float64, from the 53 highest bits of each 64-bit word."""
    return (words >> np.uint64(11)) * 2.0**-53


def generator(seed: int, *parts: str | int) -> np.random.Generator:
    """Return a numpy generator determined by `seed` and `parts`."""
    return np.random.Generator(np.random.Philox(key=_key(seed, parts), counter=0))


def torch_generator(seed: int, *parts: str | int) -> torch.Generator:
    """Return a CPU torch generator determined by `seed` and `parts`."""
    import torch  # slow to import, and not needed for most draws

    return torch.Generator().manual_seed(_key(seed, parts) % 2**63)
