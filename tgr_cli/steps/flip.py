"""The effect of one bit flip, or of each, on a number."""

import math
from dataclasses import dataclass
from decimal import Decimal

import torch
from torch import Tensor

from tgr_cli import defaults
from tgr_cli.errors import TgrError
from tgr_cli.faults.formats import Format, Native, Scale, format_named
from tgr_cli.faults.formats.integer import Integer
from tgr_cli.faults.upset import Upset
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class Config:
    """The number as text, the bit (0 is the least significant; None for all), and the format's name.

    A format with a scale is fitted to values from `min` (default: minus `max`, or 0 where there is no sign) to
    `max`; without one its step is 1.
    """

    value: str
    bit: int | None = None
    format: str = defaults.FORMAT
    max: float | None = None
    min: float | None = None

    def __post_init__(self) -> None:
        form = format_named(self.format)
        if self.bit is not None and not 0 <= self.bit < form.width:
            raise TgrError(f"--bit is {self.bit}; the bits of {form.name} are 0 to {form.width - 1}")
        if self.max is None:
            if self.min is not None:
                raise TgrError("--min is given without --max; give both ends of the range")
            return
        if not form.shared:
            raise TgrError(f"--max is for formats with a scale, as int8, and {form.name} has none; leave it out")
        if self.min is None and self.max < 0:
            raise TgrError(f"--max is {self.max} without --min; give the largest magnitude, or both ends of the range")
        if not -math.inf < self.low <= self.max < math.inf:
            raise TgrError(f"--min is {self.low} and --max is {self.max}; use a finite range from --min to --max")

    @property
    def low(self) -> float:
        """Return the lower end of the range that a scale is fitted to."""
        if self.min is not None or self.max is None:
            return self.min or 0.0
        return -self.max if "sign" in format_named(self.format).fields else 0.0


@dataclass(frozen=True)
class Encoded:
    """A stored number: its value, its bytes in hexadecimal, and the bits of each field, most significant first."""

    value: float | int
    hex: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Flip:
    """A bit, its field, and the number after its flip."""

    bit: int
    field: str
    after: Encoded

    def change(self, before: Encoded) -> float | int:
        """Return by how much the flip changes the number."""
        return self.after.value - before.value


@dataclass(frozen=True)
class SharedScale:
    """The step of a format with a scale, the code of 0, and what the number becomes if a bit of the step flips."""

    step: float
    zero: int
    format: str
    hex: str
    flips: tuple[Flip, ...]


@dataclass(frozen=True)
class Flipped:
    """A number as it is stored, the flips that were asked for, from the most significant bit on, and its scale."""

    before: Encoded
    flips: tuple[Flip, ...]
    scale: SharedScale | None = None


def run(config: Config, reporter: Reporter = SILENT) -> Flipped:
    """Return the number before and after the flips; raises TgrError for a text that is not a number of this format."""
    form = format_named(config.format)
    scale = None if config.max is None else form.fit(*torch.tensor([config.low, config.max], dtype=torch.float64))
    word_1 = _stored(config.value, form, scale)
    before = _encoded(word_1, form, scale)
    if not _whole(form, scale) and _differs(config.value, float(before.value)):
        reporter.note(f"{config.value} is stored in {form.name} as {before.value!r}")
    bits = range(form.width - 1, -1, -1) if config.bit is None else [config.bit]
    flips = []
    for bit in bits:
        after_1 = Upset.of_bits(torch.tensor([bit]), form).applied(word_1)
        flips.append(Flip(bit, _field(form, word_1, bit), _encoded(after_1, form, scale)))
    return Flipped(before, tuple(flips), None if scale is None else _shared(word_1, form, scale))


def _differs(text: str, stored: float) -> bool:
    """Return whether a number is stored as another one; float64's nearest counts as equal, but for infinity and 0."""
    given, exact = float(text), Decimal(text)
    if math.isnan(given):
        return not math.isnan(stored)
    beyond = exact.is_finite() and (math.isinf(given) or (bool(exact) and not given))
    return beyond or given != stored


def _shared(word_1: Tensor, form: Format, scale: Scale) -> SharedScale:
    """Return the scale of a number, with every flip of a bit of its step."""
    of_step = form.scale_format
    assert of_step is not None
    step_1 = of_step.encode(scale.step.reshape(1))
    flips = []
    for bit in range(of_step.width - 1, -1, -1):
        struck_1 = Upset.of_bits(torch.tensor([bit]), of_step).applied(step_1)
        steps_1 = of_step.decode(struck_1, dtype=torch.float32)
        after = _encoded(word_1, form, Scale(steps_1, scale.zero))
        flips.append(Flip(bit, of_step.field(bit), after))
    zero = 0 if scale.zero is None else int(scale.zero)
    return SharedScale(float(scale.step), zero, of_step.name, _encoded(step_1, of_step, None).hex, tuple(flips))


def _whole(form: Format, scale: Scale | None) -> bool:
    """Return whether the format holds whole numbers here."""
    return (isinstance(form, Integer) and scale is None) or (isinstance(form, Native) and not form.exponent)


def _stored(text: str, form: Format, scale: Scale | None) -> Tensor:
    """Return the code word of a number, of shape [1]."""
    whole = _whole(form, scale)
    try:
        number = int(text) if whole else float(text)
    except ValueError as error:
        fitted = "; to store other numbers, give the range with --max" if whole and form.shared else ""
        example = "-15 or 3" if whole else "-1.5, 3 or nan"
        raise TgrError(f'"{text}" is no number of the format {form.name}; write it as {example}{fitted}') from error
    if not whole:
        return form.encode(torch.tensor([number], dtype=torch.float64), scale)
    low = -(form.words // 2) if "sign" in form.fields else 0
    if not low <= number < low + form.words:
        raise TgrError(f"{text} does not fit {form.name}, which holds {low} to {low + form.words - 1}")
    return form.word(torch.tensor([number], dtype=torch.int64))


def _encoded(word_1: Tensor, form: Format, scale: Scale | None) -> Encoded:
    pattern = _pattern(word_1, form)
    digits = f"{pattern:0{form.width}b}"
    parts = form.parts(pattern)
    fields = {name: digits[form.width - 1 - high : form.width - low] for name, (low, high) in parts.items()}
    dtype = form.dtype if isinstance(form, Native) else torch.float64
    value = form.decode(word_1, scale, dtype=dtype)
    number = int(value) if _whole(form, scale) else float(value.double())
    return Encoded(number, f"0x{pattern:0{-(-form.width // 4)}x}", fields)


def _field(form: Format, word_1: Tensor, bit: int) -> str:
    parts = form.parts(_pattern(word_1, form))
    return next(name for name, (low, high) in parts.items() if low <= bit <= high)


def _pattern(word_1: Tensor, form: Format) -> int:
    """Return the bits of a word as a number from 0 on."""
    return int(word_1) % form.words
