"""From a technique's name to the guards that a model runs under: adding one is an entry here, and a guard.

Sources: Ranger is of Chen, Li and Pattabiraman, "A low-cost fault corrector for deep neural networks through range
restriction" (DSN 2021); clipping to zero of Hoang et al., "FT-ClipAct" (DATE 2020).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.guards.bounds import Bounds
from tgr_cli.guards.checksum import Checksum
from tgr_cli.guards.duplication import Duplication
from tgr_cli.guards.encoding import WRONG_WORD, Code, Encoding, encodable, encoded, refuse_form
from tgr_cli.guards.guard import ANSWERS, Guard, OperationGuard
from tgr_cli.guards.operations import Operation
from tgr_cli.guards.voting import Voting

RELUS = ("relu", "relu6")
SIX = 6.0
Chosen = TypeVar("Chosen", bound=str)


@dataclass(frozen=True)
class Making:
    """What guards are made from: the operations of a forward pass, each with its name and output, and what is given.

    `tensors` are the parameters and buffers that the pass reads, `saved` the names of those in the state dict.
    `left_out` collects what a technique could not guard, a sentence each. `ranges` are the function's name, the lowest
    and the highest value after activations, by operation. `maps` are the channels to compute twice, by convolution.
    Both are None where they are not needed.
    """

    operations: Sequence[tuple[str, Operation, Tensor]]
    tensors: Mapping[str, Tensor]
    saved: Collection[str]
    ranges: Mapping[str, tuple[str, float, float]] | None
    maps: Mapping[str, Sequence[int]] | None
    answer: str | None
    left_out: list[str] = field(default_factory=list)

    def chosen(self, answers: Sequence[Chosen]) -> Chosen:
        """Return the answer to a failed check that was asked for, or the first of those that the technique has."""
        return answers[0] if self.answer is None else answers[answers.index(self.answer)]

    def accepted(self, guarding: Callable[[tuple[str, ...]], OperationGuard]) -> tuple[str, ...]:
        """Return the convolutions and linear layers that a guard takes; raises TgrError if it takes none."""
        names = []
        for name, operation, output in self.operations:
            if operation.weighted:
                try:
                    guarding((name,)).refuse(name, operation, output)
                    names.append(name)
                except TgrError as error:
                    self.left_out.append(str(error))
        if not names:
            raise TgrError(self.left_out[0] if self.left_out else "the model runs no convolution and no linear layer")
        return tuple(names)


@dataclass(frozen=True)
class Guarding:
    """A technique of guarding: what it does, what it needs, and its answers to a failed check, its own choice first."""

    title: str
    make: Callable[[Making], Guard]
    needs_ranges: bool = False
    needs_maps: bool = False
    answers: Sequence[str] = ()


def ranger(making: Making) -> Guard:
    """Clip activations, pooling and concatenation to their profiled ranges."""
    assert making.ranges is not None
    return Bounds({name: (low, high) for name, (_, low, high) in making.ranges.items()}, "clip")


def clip(making: Making) -> Guard:
    """Set activations outside their profiled range to 0."""
    assert making.ranges is not None
    kinds = {name for name, operation, _ in making.operations if operation.kind == "activation"}
    ranges = {name: (low, high) for name, (_, low, high) in making.ranges.items() if name in kinds}
    if not ranges:
        raise TgrError("the model has no activation function to clip; use --technique ranger")
    return Bounds(ranges, "zero")


def relu6(making: Making) -> Guard:
    """Let every ReLU end at 6."""
    found = [name for name, operation, _ in making.operations if operation.called in RELUS]
    if not found:
        raise TgrError("the model has no ReLU to end at 6; use --technique ranger")
    return Bounds(dict.fromkeys(found, (0.0, SIX)), "clip")


def duplication(making: Making) -> Guard:
    """Compute chosen channels of convolutions twice."""
    assert making.maps is not None
    kinds = {name: operation.kind for name, operation, _ in making.operations}
    if others := [name for name, own in making.maps.items() if own and kinds.get(name) == "linear"]:
        raise TgrError(
            f'channels of "{others[0]}" are chosen, which is a linear layer, and the channels of convolutions alone '
            'are computed twice; run "tgr protect" with --targets conv'
        )
    return Duplication({name: tuple(sorted(own)) for name, own in making.maps.items() if own}, making.chosen(ANSWERS))


def checksum(making: Making) -> Guard:
    """Compare the channels' sum of every convolution and linear layer with that of its summed filters."""
    answer = making.chosen(ANSWERS)
    return Checksum(making.accepted(lambda names: Checksum(names, answer)), answer)


def encoding(code: Code) -> Callable[[Making], Guard]:
    """Return a maker of guards that check stored tensors as they are read; parity is written into them at once."""

    def make(making: Making) -> Guard:
        answer = making.chosen(WRONG_WORD)
        names = []
        for name, tensor in making.tensors.items():
            if not encodable(tensor) and not tensor.is_complex():  # tables of positions, say
                continue
            try:
                refuse_form(name, tensor, code, saved=name in making.saved)
            except TgrError as error:
                making.left_out.append(str(error))
                continue
            with torch.no_grad():
                tensor.copy_(encoded(tensor, code))
            names.append(name)
        if not names:
            raise TgrError(making.left_out[0] if making.left_out else "the model reads no parameter and no buffer")
        return Encoding(tuple(names), code, answer)

    return make


def voting(making: Making) -> Guard:
    """Compute the last layer three times, and vote bit by bit."""
    return Voting(making.accepted(Voting)[-1:])


GUARDINGS: Mapping[str, Guarding] = {
    "ranger": Guarding("clips what follows activation functions to its range", ranger, needs_ranges=True),
    "clip": Guarding("sets activations outside their range to 0", clip, needs_ranges=True),
    "relu6": Guarding("lets every ReLU end at 6", relu6),
    "flr": Guarding("computes chosen feature maps twice", duplication, needs_maps=True, answers=ANSWERS),
    "filr": Guarding("computes the feature maps chosen by filr twice", duplication, needs_maps=True, answers=ANSWERS),
    "abft": Guarding("compares sums of channels with checksums", checksum, answers=ANSWERS),
    "parity": Guarding(
        "keeps the parity of every stored value in its lowest bit", encoding("parity"), answers=WRONG_WORD
    ),
    "secded": Guarding("corrects single flips in stored values", encoding("secded"), answers=WRONG_WORD),
    "tmr-head": Guarding("computes the last layer three times", voting),
}
