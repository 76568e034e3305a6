"""Encodings of weights: every weight is checked as it is read, by parity within it or by SECDED beside it.

`parity`: the lowest mantissa bit of each weight holds the parity of its other bits. It takes no memory, and the weights
of the protected model differ from the plain one's in that bit at most. It finds every odd number of flipped bits.
`secded`: check bits are stored beside the weights, computed when the guard is attached; a single flipped bit is
corrected, two are found. Biases, and weights that no guarded operation reads, are not encoded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, library, nn

from tgr_cli.errors import TgrError
from tgr_cli.guards import codes
from tgr_cli.guards.guard import Guard, stored_names
from tgr_cli.guards.operations import WEIGHTED, Operation

Code = Literal["parity", "secded"]
CODES: tuple[Code, ...] = ("parity", "secded")
WrongWeight = Literal["zero", "flag"]
WRONG_WEIGHT: tuple[WrongWeight, ...] = ("zero", "flag")
NO_CHECK_BITS = torch.empty(0, dtype=torch.uint8)


@dataclass(frozen=True)
class Encoding(Guard):
    """The operations whose weights are encoded, by name; `answer` is what an error leads to that is not corrected.

    `zero` takes 0 for the wrong weight; `flag` gives all images NaN for all logits.
    """

    names: tuple[str, ...]
    code: Code = "secded"
    answer: WrongWeight = "zero"
    check_bits: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)

    technique: ClassVar[str] = "encoding"
    kinds: ClassVar[tuple[str, ...]] = WEIGHTED

    @property
    def operations(self) -> Mapping[str, None]:
        return dict.fromkeys(self.names)

    @property
    def summary(self) -> str:
        return f"{self.code} of the weights of {len(self.names):,} operations, {self.answer}"

    def fitted(self, operations: Mapping[str, Operation]) -> Self:
        if self.code == "parity":
            return self
        bits = {name: codes.secded(codes.words(_weight(operation))) for name, operation in operations.items()}
        return replace(self, check_bits=bits)

    def before(self, operation: Operation) -> tuple[Operation, Tensor | None]:
        weight, name = _weight(operation), self.name_of(operation)
        stored = weight, self.check_bits.get(name, NO_CHECK_BITS)
        failed = torch.ops.tgr.wrong_weights(*stored, self.code) if self.answer == "flag" else None
        decoded = torch.ops.tgr.decoded(*stored, self.code)
        if len(operation.args) > 1:
            args = (operation.args[0], decoded, *operation.args[2:])
            return replace(operation, args=args), failed
        return replace(operation, kwargs={**operation.kwargs, "weight": decoded}), failed

    def refuse(self, name: str, operation: Operation, output: Tensor) -> None:
        weight = _weight(operation)
        if not isinstance(weight, nn.Parameter):
            raise TgrError(
                f'the weight of "{name}" is computed in every forward pass (weight normalisation, say), so what the '
                "memory holds is another tensor, which has no encoding; leave it out"
            )
        if not weight.is_floating_point() or weight.element_size() not in codes.WORDS:
            raise TgrError(f'the weight of "{name}" is stored as {weight.dtype}, which has no encoding; leave it out')
        if self.code == "parity" and (wrong := int(codes.parity(codes.words(weight)).sum())):
            raise TgrError(
                f'the weight of "{name}" is not encoded: {wrong:,} of its {weight.numel():,} values have the wrong '
                'parity; protect the plain model anew with "tgr guard"'
            )

    def to_json(self) -> dict[str, Any]:
        return {"operations": list(self.names), "code": self.code, "answer": self.answer}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        if stored["code"] not in CODES or stored["answer"] not in WRONG_WEIGHT:
            raise ValueError(stored)
        return cls(stored_names(stored), stored["code"], stored["answer"])


def encoded(weight: Tensor, code: Code) -> Tensor:
    """Return the values that a protected model stores for a weight, of which each differs in its lowest bit at most."""
    return codes.with_parity(weight) if code == "parity" else weight


def extra_bytes(weight: Tensor, code: Code) -> int:
    """Return the memory that the encoding of a weight takes beside it, packed without gaps, in whole bytes."""
    bits = 0 if code == "parity" else codes.check_bits(weight.element_size() * 8)
    return -(-weight.numel() * bits // 8)


def decoded(weight: Tensor, check_bits: Tensor, code: str) -> tuple[Tensor, Tensor]:
    """Return the weight with single errors corrected and others set to 0, and where those others are (bool).

    Raises TgrError where the check bits are not those of a weight of this shape and format.
    """
    words = codes.words(weight)
    if code == "parity":
        lost = codes.parity(words) == 1
    else:
        if check_bits.shape != weight.shape:
            raise TgrError(f"the check bits are of shape {tuple(check_bits.shape)}, the weight {tuple(weight.shape)}")
        words, lost = codes.corrected(words, check_bits.to(weight.device))
    values = words.view(weight.dtype).masked_fill(lost, 0.0)
    return torch.empty_like(weight).copy_(values), lost  # strides select kernels: keep the weight's own


def _weight(operation: Operation) -> Tensor:
    weight: Tensor = operation.argument(1, "weight")
    return weight


@library.custom_op("tgr::decoded", mutates_args=())
def _decoded(weight: Tensor, check_bits: Tensor, code: str) -> Tensor:
    return decoded(weight, check_bits, code)[0]


@_decoded.register_fake
def _(weight: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(weight)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Store nothing for the gradient: it is that of the weight."""


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return gradient, None, None


_decoded.register_autograd(_backward, setup_context=_keep)


@library.custom_op("tgr::wrong_weights", mutates_args=())
def _wrong_weights(weight: Tensor, check_bits: Tensor, code: str) -> Tensor:
    return decoded(weight, check_bits, code)[1].any().reshape(1)


@_wrong_weights.register_fake
def _(weight: Tensor, *_: Any) -> Tensor:
    return weight.new_empty((1,), dtype=torch.bool)
