"""Encodings of stored tensors: every value is checked as it is read, by parity within it or by SECDED beside it.

`parity`: the lowest mantissa bit of each value holds the parity of its other bits. It takes no memory, and the values
of the protected model differ from the plain one's in that bit at most. It finds every odd number of flipped bits.
`secded`: check bits are stored beside the values, computed when the guard is attached; a single flipped bit is
corrected, two are found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, library
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from tgr_cli.errors import TgrError
from tgr_cli.guards import codes
from tgr_cli.guards.guard import TensorGuard, stored_names
from tgr_cli.guards.tensors import is_expanded

Code = Literal["parity", "secded"]
CODES: tuple[Code, ...] = ("parity", "secded")
WrongWord = Literal["median", "zero", "flag"]
WRONG_WORD: tuple[WrongWord, ...] = ("median", "zero", "flag")
NO_CHECK_BITS = torch.empty(0, dtype=torch.uint8)
WIDE_INTEGERS = (torch.int32, torch.uint32)
WIDEST_INTEGER = 4  # bytes of a quantised weight or bias; wider integers are counters and positions


@dataclass(frozen=True)
class Encoding(TensorGuard):
    """The parameters and buffers that are encoded; `answer` is what an error leads to that is not corrected.

    `median` takes the median of the tensor's right values for a wrong one, `zero` takes 0; `flag` gives all images
    NaN for all logits.
    """

    names: tuple[str, ...]
    code: Code = "secded"
    answer: WrongWord = "median"
    check_bits: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)

    technique: ClassVar[str] = "encoding"

    @property
    def tensors(self) -> tuple[str, ...]:
        return self.names

    @property
    def summary(self) -> str:
        return f"{self.code} of {len(self.names):,} stored tensors, {self.answer}"

    @property
    def caution(self) -> str:
        """Return what whoever protects a model so has to know; "" for nothing."""
        variances = sum(name.endswith("running_var") for name in self.names)
        if self.code == "secded" or self.answer != "zero" or not variances:
            return ""
        return (
            f"parity takes 0 for a wrong value, which does more harm than most faults in the variances of {variances} "
            "batch norms; use --on-error median or flag, or secded"
        )

    def fitted(self, tensors: Mapping[str, Tensor]) -> Self:
        if self.code == "parity":
            return self
        return replace(self, check_bits={name: codes.secded(codes.words(each)) for name, each in tensors.items()})

    def read(self, name: str, tensor: Tensor) -> tuple[Tensor, Tensor | None]:
        given, flags = (tensor, self.check_bits.get(name, NO_CHECK_BITS), self.code), self.answer == "flag"
        median = self.answer == "median"
        if torch.compiler.is_compiling() or (tensor.requires_grad and torch.is_grad_enabled()):
            return torch.ops.tgr.decoded(*given, median), torch.ops.tgr.wrong_words(*given) if flags else None
        # In one, where neither a graph nor a gradient sees it.
        value, failed = torch.ops.tgr.decoded_and_wrong(*given, median)
        return value, failed if flags else None

    def refuse(self, name: str, tensor: Tensor, *, saved: bool) -> None:
        refuse_form(name, tensor, self.code, saved=saved)
        if self.code == "parity" and (wrong := int(codes.parity(codes.words(tensor)).sum())):
            raise TgrError(
                f'"{name}" is not encoded: {wrong:,} of its {tensor.numel():,} values have the wrong parity; protect '
                'the plain model anew with "tgr guard"'
            )

    def to_json(self) -> dict[str, Any]:
        return {"tensors": list(self.names), "code": self.code, "answer": self.answer}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        if stored["code"] not in CODES or stored["answer"] not in WRONG_WORD:
            raise ValueError(stored)
        if "operations" in stored:
            raise TgrError(
                f"the model was protected by {stored['code']} of an earlier tgr, which encoded the weights of "
                'convolutions and linear layers alone; protect the plain model anew with "tgr guard"'
            )
        return cls(stored_names(stored, "tensors"), stored["code"], stored["answer"])


def refuse_form(name: str, tensor: Tensor, code: Code, *, saved: bool) -> None:
    """Raise TgrError for a tensor that cannot be stored in this code; `saved`: it is part of the state dict."""
    if is_traceable_wrapper_subclass(tensor) or tensor.is_quantized or tensor.layout is not torch.strided:
        raise TgrError(f'"{name}" is made of several tensors ({type(tensor).__name__}), which have no encoding')
    if is_expanded(tensor):
        raise TgrError(f'"{name}" is expanded from fewer values than it has, which have no words of their own')
    if not encodable(tensor):
        raise TgrError(f'"{name}" is stored as {tensor.dtype}, which has no encoding; leave it out')
    if code == "parity" and (not tensor.is_floating_point() or tensor.itemsize == 1):
        raise TgrError(
            f'"{name}" is stored as {tensor.dtype}, whose lowest bit parity would change too much; use secded'
        )
    if code == "parity" and not saved:
        raise TgrError(
            f'"{name}" is computed when the model is built, so its lowest bits cannot be kept for parity; use secded'
        )


def encodable(tensor: Tensor) -> bool:
    """Return whether a tensor holds real values, or integers as narrow as those of a quantised model."""
    integers = tensor.dtype is not torch.bool and not tensor.is_complex() and tensor.itemsize <= WIDEST_INTEGER
    return tensor.itemsize in codes.WORDS and (tensor.is_floating_point() or integers)


def encoded(tensor: Tensor, code: Code) -> Tensor:
    """Return the values that a protected model stores, of which each differs in its lowest bit at most."""
    return codes.with_parity(tensor) if code == "parity" else tensor


def extra_bytes(tensor: Tensor, code: Code) -> int:
    """Return the memory that the encoding of a tensor takes beside it, packed without gaps, in whole bytes."""
    bits = 0 if code == "parity" else codes.check_bits(tensor.element_size() * 8)
    return -(-tensor.numel() * bits // 8)


def decoded(tensor: Tensor, check_bits: Tensor, code: str, median: bool = False) -> tuple[Tensor, Tensor]:
    """Return the tensor with single errors corrected, and where others are (bool).

    Those become 0, or with `median` the lower median of the tensor's right values (0 if it has none). Raises
    TgrError where the check bits are not those of a tensor of this shape.
    """
    words = codes.words(tensor)
    if code == "parity":
        lost = codes.parity(words) == 1
    else:
        if check_bits.shape != tensor.shape:
            raise TgrError(f"the check bits are of shape {tuple(check_bits.shape)}, the tensor {tuple(tensor.shape)}")
        words, lost = codes.corrected(words, check_bits.to(tensor.device))
    values = words.masked_fill(lost, 0).view(tensor.dtype)
    if median and lost.any():
        values = torch.where(lost, _median(values[~lost]).to(tensor.dtype), values)
    return torch.empty_like(tensor).copy_(values), lost  # strides select kernels: keep the tensor's own


def _median(values: Tensor) -> Tensor:
    """Return the lower median of the finite ones of values in any format, 0 if there are none."""
    wide = values.double() if values.dtype in (torch.float64, *WIDE_INTEGERS) else values.float()  # of equal values
    finite = wide[wide.isfinite()]
    return finite.median() if len(finite) else finite.sum()


@library.custom_op("tgr::decoded", mutates_args=())
def _decoded(tensor: Tensor, check_bits: Tensor, code: str, median: bool) -> Tensor:
    return decoded(tensor, check_bits, code, median)[0]


@_decoded.register_fake
def _(tensor: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(tensor)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Store nothing for the gradient: it is that of the tensor."""


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return gradient, None, None, None


_decoded.register_autograd(_backward, setup_context=_keep)


@library.custom_op("tgr::wrong_words", mutates_args=())
def _wrong_words(tensor: Tensor, check_bits: Tensor, code: str) -> Tensor:
    return decoded(tensor, check_bits, code)[1].any().reshape(1)


@_wrong_words.register_fake
def _(tensor: Tensor, *_: Any) -> Tensor:
    return tensor.new_empty((1,), dtype=torch.bool)


@library.custom_op("tgr::decoded_and_wrong", mutates_args=())
def _decoded_and_wrong(tensor: Tensor, check_bits: Tensor, code: str, median: bool) -> tuple[Tensor, Tensor]:
    value, lost = decoded(tensor, check_bits, code, median)
    return value, lost.any().reshape(1)


@_decoded_and_wrong.register_fake
def _(tensor: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(tensor), tensor.new_empty((1,), dtype=torch.bool)
