"""Random numbers by name: every draw is a function of a seed and a key, never of what was drawn before it.

The generator is Philox 4x64-10, a counter-based one (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011), as numpy implements it. No global generator is read or changed.
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

    Row i depends on `seed`, `parts` and i alone: a longer call begins with the rows of a shorter one.
    """
    raw = np.random.Philox(key=_key(seed, parts), counter=0).random_raw(count * WORDS_PER_DRAW)
    return raw.reshape(count, WORDS_PER_DRAW)


def below(words_N: np.ndarray, bound: int) -> np.ndarray:
    """Return integers in [0, bound), int64 of shape [N], one a 64-bit word: the high half of word × bound.

    No value's probability is off by more than 2⁻⁶⁴ (Lemire, "Fast random integer generation in an interval",
    ACM TOMACS 2019, without the rejection step). Needs 1 ≤ bound ≤ 2³².
    """
    assert 1 <= bound <= 2**32, bound
    factor, half = np.uint64(bound), np.uint64(32)
    high, low = words_N >> half, words_N & np.uint64(0xFFFFFFFF)
    return ((high * factor + ((low * factor) >> half)) >> half).astype(np.int64)


def unit(words: np.ndarray) -> np.ndarray:
    """Return numbers in [0, 1), float64, one a 64-bit word: its 53 highest bits."""
    return (words >> np.uint64(11)) * 2.0**-53


def generator(seed: int, *parts: str | int) -> np.random.Generator:
    """Return a numpy generator that depends on `seed` and `parts` alone."""
    return np.random.Generator(np.random.Philox(key=_key(seed, parts), counter=0))


def torch_generator(seed: int, *parts: str | int) -> torch.Generator:
    """Return a CPU torch generator that depends on `seed` and `parts` alone."""
    import torch  # slow to load, and much that draws does without it

    return torch.Generator().manual_seed(_key(seed, parts) % 2**63)
