"""The range of a site's values, computed in one pass with constant memory."""

import math

import numpy as np
import torch

# Without its lowest 14 bits a float32 keeps 9 bits of mantissa. Bins are then at most 1/512 of their value wide, so
# that the middle of a bin is within 0.1 % of all values in it. Without the sign this gives 2**17 bins, 1 MiB per site.
DROPPED_BITS = 14
BINS = 1 << (31 - DROPPED_BITS)
CHUNK = 1 << 22
PERCENTILES = {"p99": 0.99, "p99_9": 0.999, "p99_99": 0.9999}


class RangeProfile:
    """Accumulates the `ranges` columns of one site: call `add` for every tensor, then `result`."""

    def __init__(self) -> None:
        self._min, self._max = math.inf, -math.inf
        self._sum, self._count = 0.0, 0
        self._bins = torch.zeros(BINS, dtype=torch.int64)

    def add(self, values: torch.Tensor) -> None:
        """Accumulate a floating-point tensor of any shape."""
        low, high = torch.aminmax(values)
        self._min = float(np.minimum(self._min, float(low)))  # numpy propagates NaN, Python's min may not
        self._max = float(np.maximum(self._max, float(high)))
        self._count += values.numel()
        for chunk_N in values.detach().reshape(-1).split(CHUNK):
            absolute_N = chunk_N.abs()
            self._sum += float(absolute_N.sum(dtype=torch.float64))
            bits_N = absolute_N.float().view(torch.int32) >> DROPPED_BITS
            self._bins += torch.bincount(bits_N, minlength=BINS).cpu()

    @property
    def empty(self) -> bool:
        """Return whether no value was added so far."""
        return self._count == 0

    @property
    def finite(self) -> bool:
        """Return whether all values so far are finite."""
        return math.isfinite(self._min) and math.isfinite(self._max)

    def result(self) -> dict[str, float]:
        """Return min, max, max_abs, mean_abs, p99, p99_9 and p99_99, by name.

        A percentile is the smallest absolute value that is at least as large as that share of all values. It is
        accurate within 0.1 % (for normal float32 numbers) and never above max_abs. Requires at least one value, all
        finite.
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
    """Return the middle value of a bin; 0 for the first bin, which holds zeros."""
    if position == 0:
        return 0.0
    bits = (position << DROPPED_BITS) + (1 << (DROPPED_BITS - 1))
    return float(torch.tensor(bits, dtype=torch.int32).view(torch.float32))
