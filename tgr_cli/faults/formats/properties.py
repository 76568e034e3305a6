"""What a number format can hold: its range, its precision, its special values."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.faults.formats.format import Format


@dataclass(frozen=True, kw_only=True)
class Properties:
    """Figures of a format, without a scale (a step of 1).

    `largest` and `lowest` are finite. `smallest` is the smallest number above 0, and `smallest_normal` the smallest
    with full precision, None for formats without an exponent. `epsilon` is the distance from 1 to the next number (for
    formats without 1, that from the next power of two, relative to it, or of neighbours).
    """

    largest: float
    lowest: float
    smallest_normal: float | None
    smallest: float
    epsilon: float
    subnormals: bool
    infinities: bool
    nan: bool
    negative_zero: bool


def properties(form: Format) -> Properties:
    """Return the figures of a format, found among the values of its code words."""
    values = form.decode(_words(form), dtype=torch.float64)
    finite = values[values.isfinite()].unique()
    positive = finite[finite > 0]
    gaps, below = positive.diff(), positive[:-1]
    power = below.log2()
    epsilon = float(next(iter((gaps / below)[(below >= 1) & (power == power.round())]), finite.diff().min()))
    smallest, normal = float(positive[0]), None
    if "exponent" in form.fields:
        lowest_exponent = torch.tensor(1 << form.fields["exponent"][0])
        evenly_spaced = float(positive[1]) == 2 * smallest  # from 0 on, as only subnormals are
        normal = float(form.decode(form.word(lowest_exponent), dtype=torch.float64)) if evenly_spaced else smallest
    zeros = values[values == 0]
    return Properties(
        largest=float(finite[-1]),
        lowest=float(finite[0]),
        smallest_normal=normal,
        smallest=smallest,
        epsilon=epsilon,
        subnormals=normal is not None and smallest < normal,
        infinities=bool(values.isinf().any()),
        nan=bool(values.isnan().any()),
        negative_zero=bool(zeros.signbit().any()),
    )


def _words(form: Format) -> Tensor:
    """Return every code word, or of wide formats those in which each field is at, or next to, one of its ends."""
    if form.width <= 16:
        return form.word(torch.arange(form.words))
    fields = []
    for low, high in form.fields.values():
        end = 1 << (high - low + 1)
        fields.append([number << low for number in sorted({0, 1, 2, end // 2 - 1, end // 2, end - 2, end - 1})])
    numbers = [sum(parts) for parts in itertools.product(*fields)]
    return form.word(
        torch.tensor([n - form.words if form.width == 64 and n >= form.words // 2 else n for n in numbers])
    )
