"""The places where faults are injected: multiply-accumulate calls, and the model's tensors."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tgr_cli.artifacts.layout import TENSORS

OPS = ("conv", "linear", "matmul")
TARGETS = ("neuron", *TENSORS)


@dataclass(frozen=True)
class Site:
    """One multiply-accumulate call, or one tensor of the model.

    For a call, `shape` is one image's share of the output, without the batch axis, and `macs` are the
    multiply-accumulates per image. Where `per_image` is False, all images share one output, which has no batch axis. A
    tensor (`op` is one of TENSORS) has its own shape, and the summed MACs of the calls that read it.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    macs: int
    per_image: bool = True

    @property
    def is_parameter(self) -> bool:
        """Return whether this is a tensor of the model, in which a fault lasts for a whole inference."""
        return self.op in TENSORS

    @property
    def neurons(self) -> int:
        """Return the number of elements in one image's share, or in the tensor."""
        return math.prod(self.shape)


def numbered(paths: Sequence[str]) -> list[str]:
    """Return a name for each call of the modules at `paths`: the path, with `#1`, `#2`, … where it occurs repeatedly.

    >>> numbered(["conv", "fc", "fc"])
    ['conv', 'fc#1', 'fc#2']
    """
    total, seen, names = Counter(paths), Counter[str](), []
    for path in paths:
        seen[path] += 1
        names.append(f"{path}#{seen[path]}" if total[path] > 1 else path)
    return names
