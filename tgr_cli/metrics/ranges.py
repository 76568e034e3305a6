"""The range of a site's values, in one pass over the data and constant memory."""

import math

import numpy as np
import torch

# Dropping the lowest 14 of a float32's bits leaves 9 bits of mantissa: bins at most 1/512 wide relative to their value,
# so that a bin's middle is within 0.1 % of all it holds. Sign bit aside, that is 2**17 bins, 1 MiB a site.
DROPPED_BITS = 14
BINS = 1 << (31 - DROPPED_BITS)
CHUNK = 1 << 22
PERCENTILES = {"p99": 0.99, "p99_9": 0.999, "p99_99": 0.9999}


class RangeProfile:
    """Collects what `ranges` holds of one site: feed it with `add`, then read `result`."""

    def __init__(self) -> None:
        self._min, self._max = math.inf, -math.inf
        self._sum, self._count = 0.0, 0
        self._bins = torch.zeros(BINS, dtype=torch.int64)

    def add(self, values: torch.Tensor) -> None:
        """Take in a tensor of any shape and floating-point type."""
        low, high = torch.aminmax(values)
        self._min = float(np.minimum(self._min, float(low)))  # numpy's keep a NaN, Python's may drop it
        self._max = float(np.maximum(self._max, float(high)))
        self._count += values.numel()
        for chunk_N in values.detach().reshape(-1).split(CHUNK):
            absolute_N = chunk_N.abs()
            self._sum += float(absolute_N.sum(dtype=torch.float64))
            bits_N = absolute_N.float().view(torch.int32) >> DROPPED_BITS
            self._bins += torch.bincount(bits_N, minlength=BINS).cpu()

    @property
    def empty(self) -> bool:
        """Return whether there was no value so far."""
        return self._count == 0

    @property
    def finite(self) -> bool:
        """Return whether every value so far was finite."""
        return math.isfinite(self._min) and math.isfinite(self._max)

    def result(self) -> dict[str, float]:
        """Return min, max, max_abs, mean_abs, p99, p99_9 and p99_99, by these names.

        A percentile is the smallest absolute value that is at least as large as that share of all, within 0.1 % of
        it (normal float32 numbers), and never above max_abs. Needs finite values, and at least one.
        """
        assert self._count > 0
        assert self.finite
        max_abs = max(abs(self._min), abs(self._max))
        reached_B = self._bins.cumsum(0)
        percentiles = {}
        for name, share in PERCENTILES.items():
            position = int(torch.searchsorted(reached_B, math.ceil(share * self._count)))
            percentiles[name] = min(_middle(position), max_abs)
        return {
            "min": self._min,
            "max": self._max,
            "max_abs": max_abs,
            "mean_abs": self._sum / self._count,
            **percentiles,
        }


def _middle(position: int) -> float:
    """Return the value in the middle of a bin; 0 for the first, which holds zeros."""
    if position == 0:
        return 0.0
    bits = (position << DROPPED_BITS) + (1 << (DROPPED_BITS - 1))
    return float(torch.tensor(bits, dtype=torch.int32).view(torch.float32))
