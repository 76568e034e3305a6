"""Bounds on what activation functions, pooling and concatenation give: Ranger, clipping to zero, ReLU6.

Ranger restricts every activation to the range profiled without faults (Chen, Li, Pattabiraman, DSN 2021); here it is
one of the techniques compared for training against faults. A wrong value is bounded wherever its fault was.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.guards.guard import OperationGuard
from tgr_cli.guards.operations import BOUNDED, Operation

Outside = Literal["clip", "zero"]
OUTSIDE: tuple[Outside, ...] = ("clip", "zero")


@dataclass(frozen=True)
class Bounds(OperationGuard):
    """The lowest and the highest value of operations, by name; `outside` says what becomes of other values.

    `clip` takes the nearer bound, and the upper one for NaN; `zero` takes 0.
    """

    ranges: Mapping[str, tuple[float, float]]
    outside: Outside = "clip"

    technique: ClassVar[str] = "bounds"
    kinds: ClassVar[tuple[str, ...]] = BOUNDED

    @property
    def operations(self) -> Mapping[str, tuple[float, float]]:
        return self.ranges

    @property
    def summary(self) -> str:
        return f"bounds on {len(self.ranges):,} operations, {self.outside}"

    def after(self, operation: Operation, output: Tensor) -> tuple[Tensor, Tensor | None]:
        low, high = self.ranges[self.name_of(operation)]
        in_place = output is operation.argument(0, "input")  # the model may go on with the tensor that it gave
        if not in_place or output.requires_grad:
            output = output.clone()
        if self.outside == "zero":
            return output.masked_fill_(~((output >= low) & (output <= high)), 0.0), None
        return output.masked_fill_(output.isnan(), high).clamp_(low, high), None

    def refuse(self, name: str, operation: Operation, output: Tensor) -> None:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            raise TgrError(f'"{name}" gives no floating-point tensor, which cannot be bounded; leave it out')

    def to_json(self) -> dict[str, Any]:
        return {"ranges": {name: list(pair) for name, pair in self.ranges.items()}, "outside": self.outside}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        ranges = {name: (_end(low), _end(high)) for name, (low, high) in stored["ranges"].items()}
        if not ranges or stored["outside"] not in OUTSIDE or any(low > high for low, high in ranges.values()):
            raise ValueError(stored)
        return cls(ranges, stored["outside"])


def _end(value: Any) -> float:
    """Return the end of a range as JSON gives it."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)
