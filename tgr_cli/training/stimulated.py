"""Stimulated training: random bit flips and dropout in layer outputs during training.

"Strategies for Improving the Error Robustness of Convolutional Neural Networks", section III-A. Suffixes: N elements of
a layer's output, D draws.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.faults.formats import format_of
from tgr_cli.training.layers import matching, never_called

DRAWS = 2**16
WORD = torch.complex128  # the widest dtype that torch can index, 16 bytes; only used as an integer container
CHUNK = 2**16  # elements per thread and step, so that buffers fit a core's cache


@dataclass(frozen=True, kw_only=True)
class Stimulation:
    """Flip one random bit in each neuron of the chosen layers with `probability`, in every training forward pass.

    `sites`: patterns of layer names, such as `conv*,fc1` (None: every convolution and linear layer except the logits).
    `bits`, such as `0-22,30`: candidate bits, equally likely (None: all but the sign bit, as published). The
    probability is rounded to a multiple of `len(bits)` / 2¹⁶. A flipped value that is NaN, or larger than the largest
    absolute value of the layer's output in this batch, is set to zero: training diverges with values of 1e38, and
    clamping to the largest value instead costs LeNet-5 8 to 20 points of accuracy on MNIST at a probability of 0.2,
    where the paper reports almost no loss. Raises TgrError for invalid values.
    """

    probability: float
    sites: str | None = None
    bits: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise TgrError(f"--stimulated is {self.probability:g}; it must be in (0, 1]")
        if self.bits is not None:
            _numbers(self.bits)

    def masks(self, dtype: torch.dtype) -> Tensor:
        """Return 2¹⁶ equally likely XOR masks, in the integer dtype of the width of `dtype`.

        The share of masks that flip a given bit is probability / number of bits; the rest are zero. Raises TgrError if
        that share rounds to no mask, and for bits that the format does not have.
        """
        form = format_of(dtype)
        bits = list(range(form.width - 1)) if self.bits is None else _numbers(self.bits)
        if max(bits) >= form.width:
            raise TgrError(f"--stimulated-bits has bit {max(bits)}; {dtype} has the bits 0 to {form.width - 1}")
        each = round(self.probability * DRAWS / len(bits))
        if each == 0:
            raise TgrError(
                f"--stimulated is {self.probability:g}, too small for {len(bits)} bits; give "
                f"{0.5 * len(bits) / DRAWS:.2g} or more"
            )
        table = torch.zeros(DRAWS, dtype=form.integer)
        flipped = form.bit_masks(torch.tensor(bits).repeat_interleave(each)[:DRAWS])
        table[: len(flipped)] = flipped
        return table

    def table(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return 2¹⁶ words of 16 bytes, each with the masks of as many neighbouring elements as fit.

        One draw serves all neighbours in a word. Each position has its own permutation of the masks, so every mask is
        equally likely at every position.
        """
        of_draw = self.masks(dtype)
        shuffled = torch.Generator().manual_seed(0)
        together = WORD.itemsize // of_draw.element_size()
        columns = [of_draw[torch.randperm(DRAWS, generator=shuffled)] for _ in range(together)]
        return torch.stack(columns, 1).view(WORD).flatten().to(device)


def _numbers(text: str) -> list[int]:
    found: set[int] = set()
    try:
        for part in text.split(","):
            low, dash, high = part.strip().partition("-")
            found |= set(range(int(low), int(high if dash else low) + 1))
    except ValueError as error:
        raise TgrError(f'--stimulated-bits is "{text}"; write bits and ranges of bits, as 0-22,30') from error
    if not found:
        raise TgrError(f'--stimulated-bits is "{text}", which names no bit; write ranges from low to high, as 0-22,30')
    return sorted(found)


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """Dropout and bit flips applied during training, with their probabilities.

    None switches either off; sites and bits are those of `Stimulation`. Raises TgrError for invalid values.
    """

    dropout: float | None = None
    dropout_sites: str | None = None
    stimulated: float | None = None
    stimulated_sites: str | None = None
    stimulated_bits: str | None = None

    def __post_init__(self) -> None:
        if self.dropout is not None and not 0 < self.dropout < 1:
            raise TgrError(f"--dropout is {self.dropout:g}; it must be in (0, 1)")
        if self.dropout is None and self.dropout_sites is not None:
            raise TgrError("--dropout-sites has no meaning without --dropout; give its probability")
        if self.stimulated is None and (self.stimulated_sites, self.stimulated_bits) != (None, None):
            raise TgrError(
                "--stimulated-sites and --stimulated-bits have no meaning without --stimulated; give its probability"
            )
        self.stimulation()

    def stimulation(self) -> Stimulation | None:
        """Return the settings of the bit flips, None if they are off."""
        if self.stimulated is None:
            return None
        return Stimulation(probability=self.stimulated, sites=self.stimulated_sites, bits=self.stimulated_bits)

    def out_of_reach(self, model: nn.Module, x_BCHW: Tensor, frozen: Sequence[str] = ()) -> list[str]:
        """Return a note for each option with layers that `model`, in evaluation mode, never calls on `x_BCHW`.

        Raises TgrError where an option reaches none of its layers, where a pattern matches no layer, and where a layer
        is `frozen`: kept in evaluation mode, in which nothing is disturbed.
        """
        sentences = []
        for option, given, sites in (
            ("--dropout", self.dropout, self.dropout_sites),
            ("--stimulated", self.stimulated, self.stimulated_sites),
        ):
            if given is None:
                continue
            chosen = matching(model, sites, f"{option}-sites")
            kept = [name for name in chosen if name in frozen]
            if kept:
                raise TgrError(
                    f"{option} has no effect on {kept[0]}, which --freeze-backbone keeps as it is without faults; "
                    f"leave out one of them, or name the layer of the logits alone with {option}-sites"
                )
            missed = never_called(model, chosen, x_BCHW)
            named = f"{', '.join(missed[:4])}{', …' if len(missed) > 4 else ''}"
            if len(missed) == len(chosen):
                raise TgrError(
                    f"{option} reaches no layer: the model uses the weights of {named} in functions of its own, whose "
                    f"output no hook sees; name other layers with {option}-sites"
                )
            if missed:
                sentences.append(
                    f"{option} acts on {len(chosen) - len(missed)} of {len(chosen)} layers; out of its reach are those "
                    f"whose weights the model uses in functions of its own: {named}"
                )
        return sentences

    @contextmanager
    def acting(self, model: nn.Module) -> Iterator[None]:
        """Context manager: apply dropout and bit flips to `model`; raises TgrError if a pattern matches no layer."""
        stimulation = self.stimulation()
        with ExitStack() as stack:
            if self.dropout is not None:
                stack.enter_context(dropped(model, self.dropout, self.dropout_sites))
            if stimulation is not None:
                stimulation.masks(torch.float32)  # refuse invalid bits before the data are read
                stack.enter_context(stimulated(model, stimulation))
            yield


@contextmanager
def stimulated(model: nn.Module, stimulation: Stimulation) -> Iterator[None]:
    """Context manager: flip bits in the outputs of layers in training mode, with a straight-through gradient."""
    tables: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def strike(module: nn.Module, _: Any, out: Tensor) -> Tensor:
        if not module.training:
            return out
        kind = out.dtype, out.device
        if kind not in tables:
            tables[kind] = stimulation.table(*kind)
        dense = out.is_contiguous() or out.is_contiguous(memory_format=torch.channels_last)
        own = out if dense and not out._is_view() else out.clone(memory_format=torch.contiguous_format)
        return _FlipBits.apply(own, tables[kind])

    with _hooked(matching(model, stimulation.sites, "--stimulated-sites"), strike):
        yield


@contextmanager
def dropped(model: nn.Module, probability: float, sites: str | None) -> Iterator[None]:
    """Context manager: apply dropout to the outputs of the layers (see `Stimulation.sites`) in training mode.

    Dropout as in Srivastava et al. (JMLR 2014), for any layers; the model's own dropout layers are unchanged.
    """

    def drop(module: nn.Module, _: Any, out: Tensor) -> Tensor:
        return nn.functional.dropout(out, probability, module.training)

    with _hooked(matching(model, sites, "--dropout-sites"), drop):
        yield


@contextmanager
def _hooked(chosen: dict[str, nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in chosen.values()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _FlipBits(torch.autograd.Function):
    """Bit flips with a straight-through gradient (Bengio et al., 2013)."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, table: Tensor) -> Tensor:
        strike_(out, table)  # in place: convolutions and linear layers do not need their output in the backward pass
        ctx.mark_dirty(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def strike_(values: Tensor, table: Tensor) -> None:
    """Flip bits of `values`, a dense tensor, in place: neighbouring elements share a draw from `table`.

    Each draw takes 16 random bits, in memory order, from torch's generator of the device, or from one seeded by it.
    """
    count, device, integer = values.numel(), values.device, format_of(values.dtype).integer
    if count == 0:
        return
    flat_N = values.as_strided((count,), (1,))
    lowest, highest = torch.aminmax(flat_N)
    # Bit patterns of non-negative floats, read as integers, are ordered by value, with NaN above infinity. On an
    # accelerator `limit` stays a tensor: `.item()` would synchronise.
    unsigned = torch.iinfo(integer).max
    largest = torch.maximum(highest, -lowest).view(integer) & unsigned
    limit = largest.item() if device.type == "cpu" else largest
    together = WORD.itemsize // values.element_size()  # neighbours that share a draw
    step = CHUNK * torch.get_num_threads() if device.type == "cpu" else count
    draw = _words(device)
    rows_D = torch.empty(-(-min(step, count) // together), dtype=torch.int32, device=device)
    drawn_D = table.new_empty(len(rows_D))  # reused: allocation would cost more than the computation
    kept_N = torch.empty(min(step, count), dtype=integer, device=device)
    for start in range(0, count, step):
        part_N = flat_N[start : start + step]
        draws = -(-len(part_N) // together)
        rows_D[:draws] = draw(-(-draws // 4)).view(torch.uint16)[:draws]
        torch.index_select(table, 0, rows_D[:draws], out=drawn_D[:draws])
        bits_N, magnitude_N = part_N.view(integer), kept_N[: len(part_N)]
        bits_N.bitwise_xor_(drawn_D.view(integer)[: len(part_N)])
        torch.bitwise_and(bits_N, unsigned, out=magnitude_N)
        bits_N.mul_(torch.le(magnitude_N, limit, out=magnitude_N))  # multiply by 1, or by 0 above the limit


def _words(device: torch.device) -> Callable[[int], Tensor]:
    """Return a function that draws `count` random 64-bit words, int64."""
    if device.type == "cpu":  # numpy is twice as fast as torch here
        source = np.random.SFC64(int(torch.randint(2**62, ())))
        return lambda count: torch.from_numpy(source.random_raw(count).view(np.int64))
    return lambda count: torch.empty(count, dtype=torch.int64, device=device).random_(-(2**63), None)
