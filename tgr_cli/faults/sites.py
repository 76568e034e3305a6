"""The places a fault can strike: calls of multiply-accumulate operations."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

OPS = ("conv", "linear", "matmul")


@dataclass(frozen=True)
class Site:
    """One call of a multiply-accumulate operation, as every image sees it.

    `shape` is one image's share of the output, without the batch; `macs` are the multiply-accumulates for one image.
    Where `per_image` is False, the output does not depend on the images and all of them share it.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    macs: int
    per_image: bool = True

    @property
    def neurons(self) -> int:
        """Return the number of elements in one image's share."""
        return math.prod(self.shape)

    @property
    def feature_maps(self) -> int:
        """Return the number of output channels of a convolution, as ISSRE 2021 (Table I) counts; 0 for other sites."""
        return self.shape[0] if self.op == "conv" else 0


def numbered(paths: Sequence[str]) -> list[str]:
    """Return a name for each call of the modules at `paths`: the path, with `#1`, `#2`, … where it comes more often."""
    total, seen, names = Counter(paths), Counter[str](), []
    for path in paths:
        seen[path] += 1
        names.append(f"{path}#{seen[path]}" if total[path] > 1 else path)
    return names
