"""The effect of one bit flip on a number."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli import defaults
from tgr_cli.errors import TgrError
from tgr_cli.faults.formats import Native, format_named
from tgr_cli.faults.upset import flip
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class Config:
    """The number as text, the bit (0 is the least significant), and the format's name."""

    value: str
    bit: int
    format: str = defaults.FORMAT

    def __post_init__(self) -> None:
        form = format_named(self.format)
        if not 0 <= self.bit < form.width:
            raise TgrError(f"--bit is {self.bit}; the bits of {form.name} are 0 to {form.width - 1}")


@dataclass(frozen=True)
class Encoded:
    """A stored number: its value, its bytes in hexadecimal, and the bits of each field, most significant first."""

    value: float | int
    hex: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Flipped:
    """A number before and after the flip, and the field of the flipped bit."""

    before: Encoded
    after: Encoded
    field: str


def run(config: Config, reporter: Reporter = SILENT) -> Flipped:
    """Return the number before and after the flip; raises TgrError for a text that is not a number of this format."""
    form = format_named(config.format)
    stored_1 = _stored(config.value, form)
    before = _encoded(stored_1, form)
    if form.exponent and not math.isnan(before.value) and before.value != float(config.value):
        reporter.note(f"{config.value} is stored in {form.name} as {before.value!r}")
    after = _encoded(flip(stored_1, torch.tensor([config.bit])), form)
    return Flipped(before, after, form.field(config.bit))


def _stored(text: str, form: Native) -> Tensor:
    try:
        number = float(text) if form.exponent else int(text)
    except ValueError as error:
        raise TgrError(f'"{text}" is no number of the format {form.name}; write it as -1.5, 3 or nan') from error
    if form.exponent:
        return torch.tensor([number], dtype=torch.float64).to(form.dtype)
    limits = torch.iinfo(form.dtype)
    if not limits.min <= number <= limits.max:
        raise TgrError(f"{text} does not fit {form.name}, which holds {limits.min} to {limits.max}")
    return torch.tensor([number], dtype=form.dtype)


def _encoded(value_1: Tensor, form: Native) -> Encoded:
    pattern = int(value_1.view(form.integer)) % 2**form.width
    digits = f"{pattern:0{form.width}b}"
    fields = {name: digits[form.width - 1 - high : form.width - low] for name, (low, high) in form.fields.items()}
    number = float(value_1.double()) if form.exponent else int(value_1)
    return Encoded(number, f"0x{pattern:0{form.width // 4}x}", fields)
