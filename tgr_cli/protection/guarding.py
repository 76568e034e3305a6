"""From a technique's name to the guards that a model runs under: adding one is an entry here, and a guard.

Sources: Ranger is of Chen, Li and Pattabiraman, "A low-cost fault corrector for deep neural networks through range
restriction" (DSN 2021); clipping to zero of Hoang et al., "FT-ClipAct" (DATE 2020).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tgr_cli.errors import TgrError
from tgr_cli.guards.bounds import Bounds
from tgr_cli.guards.duplication import Duplication
from tgr_cli.guards.guard import Answer, Guard
from tgr_cli.guards.operations import Operation

RELUS = ("relu", "relu6")
SIX = 6.0


@dataclass(frozen=True)
class Making:
    """What guards are made from: the operations of a forward pass by name, and what the user gives.

    `ranges` are the lowest and highest value after activations, with the function's name, by operation. `maps` are the
    channels to compute twice, by convolution. Both are None where they are not needed.
    """

    operations: Sequence[tuple[str, Operation]]
    ranges: Mapping[str, tuple[str, float, float]] | None
    maps: Mapping[str, Sequence[int]] | None
    answer: Answer | None


@dataclass(frozen=True)
class Guarding:
    """A technique of guarding: what it does, what it needs, and whether it answers a failed check in several ways."""

    title: str
    make: Callable[[Making], Guard]
    needs_ranges: bool = False
    needs_maps: bool = False
    answers: bool = False


def ranger(making: Making) -> Guard:
    """Clip activations, pooling and concatenation to their profiled ranges."""
    assert making.ranges is not None
    return Bounds({name: (low, high) for name, (_, low, high) in making.ranges.items()}, "clip")


def clip(making: Making) -> Guard:
    """Set activations outside their profiled range to 0."""
    assert making.ranges is not None
    kinds = {name for name, operation in making.operations if operation.kind == "activation"}
    ranges = {name: (low, high) for name, (_, low, high) in making.ranges.items() if name in kinds}
    if not ranges:
        raise TgrError("the model has no activation function to clip; use --technique ranger")
    return Bounds(ranges, "zero")


def relu6(making: Making) -> Guard:
    """Let every ReLU end at 6."""
    found = [name for name, operation in making.operations if operation.called in RELUS]
    if not found:
        raise TgrError("the model has no ReLU to end at 6; use --technique ranger")
    return Bounds(dict.fromkeys(found, (0.0, SIX)), "clip")


def duplication(making: Making) -> Guard:
    """Compute chosen channels of convolutions twice."""
    assert making.maps is not None
    return Duplication({name: tuple(sorted(own)) for name, own in making.maps.items() if own}, making.answer or "rerun")


GUARDINGS: Mapping[str, Guarding] = {
    "ranger": Guarding("clips what follows activation functions to its range", ranger, needs_ranges=True),
    "clip": Guarding("sets activations outside their range to 0", clip, needs_ranges=True),
    "relu6": Guarding("lets every ReLU end at 6", relu6),
    "flr": Guarding("computes chosen feature maps twice", duplication, needs_maps=True, answers=True),
    "filr": Guarding("computes the feature maps chosen by filr twice", duplication, needs_maps=True, answers=True),
}
