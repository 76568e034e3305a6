"""Formats of at most 16 bits against independent oracles: decode, encode and flip every code."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tgr_cli.faults.formats import Format, format_named
from tgr_cli.faults.upset import Upset

from . import oracles
from .oracles import Floats

POSITS = [(8, 2), (8, 0), (8, 1), (8, 3), (6, 2), (3, 1), (16, 2), (16, 1)]

# Exponent bits, mantissa bits, bias, specials, and what is stored of numbers beyond the largest (0: the largest).
FLOATS = {
    "float:e=2,m=1": (2, 1, 1, "ieee", np.inf),
    "float:e=2,m=7,bias=2": (2, 7, 2, "ieee", np.inf),
    "float:e=3,m=2,overflow=saturate": (3, 2, 3, "ieee", 0),
    "float:e=5,m=4,specials=fn": (5, 4, 15, "fn", np.nan),
    "float:e=3,m=1,bias=1,specials=fn,overflow=saturate": (3, 1, 1, "fn", 0),
    "float:e=6,m=3,bias=50,specials=fnuz": (6, 3, 50, "fnuz", np.nan),
    "float:e=4,m=2,specials=fnuz,overflow=saturate": (4, 2, 8, "fnuz", 0),
    "float:e=3,m=3,bias=5,specials=none": (3, 3, 5, "none", 0),
    "float:e=7,m=5": (7, 5, 63, "ieee", np.inf),
    "float:e=8,m=4": (8, 4, 127, "ieee", np.inf),
    "float:e=8,m=1,overflow=saturate": (8, 1, 127, "ieee", 0),
}


def posit_name(width: int, es: int) -> str:
    return f"posit:n={width},es={es}"


# The value of every code, without a scale, by the oracle.
ORACLES: dict[str, Floats] = {
    **{name: oracles.of_type(name) for name in oracles.TYPES},
    **{name: oracles.floating(*size) for name, (*size, _) in FLOATS.items()},
    **{f"int{width}": oracles.twos_complement(width) for width in (4, 8, 16)},
    "uint8": np.arange(256.0),
    **{f"fixed:int={i},frac={f}": oracles.twos_complement(1 + i + f, f) for i, f in ((3, 4), (0, 7), (7, 8), (2, 0))},
    "bfp": oracles.sign_magnitude(7),
    "bfp:m=3,block=8": oracles.sign_magnitude(3),
    "mxfp8_e4m3": oracles.of_type("float8_e4m3fn"),
    "mxfp8_e5m2": oracles.of_type("float8_e5m2"),
    "mxfp6_e3m2": oracles.of_type("float6_e3m2"),
    "mxfp6_e2m3": oracles.of_type("float6_e2m3"),
    "mxfp4_e2m1": oracles.of_type("float4_e2m1"),
    "mxint8": oracles.twos_complement(8, 6),
    "adaptivfloat": oracles.adaptivfloat(3, 4),
    "adaptivfloat:n=16,e=5": oracles.adaptivfloat(5, 10),
    "adaptivfloat:n=4,e=2": oracles.adaptivfloat(2, 1),
    **{posit_name(n, es): oracles.posit(n, es) for n, es in POSITS},
}


def codes(words: torch.Tensor, form: Format) -> np.ndarray:
    return words.to(torch.int64).numpy() & (form.words - 1)


def every_word(form: Format) -> torch.Tensor:
    return form.word(torch.arange(form.words))


def same(found: torch.Tensor | Floats, expected: Floats) -> bool:
    """Return whether numbers are equal, NaN where NaN is expected, and zeros of the same sign."""
    values = np.asarray(found, np.float64)
    equal = (values == expected) & (np.signbit(values) == np.signbit(expected))
    return bool((equal | (np.isnan(values) & np.isnan(expected))).all())


@pytest.mark.parametrize("name", ORACLES)
def test_the_value_of_every_code(name: str) -> None:
    form, expected = format_named(name), ORACLES[name]
    words = every_word(form)
    assert len(words) == form.words == len(expected)
    assert words.dtype == form.integer
    assert np.array_equal(codes(words, form), np.arange(form.words))
    assert same(form.decode(words, dtype=torch.float64), expected)
    with np.errstate(invalid="ignore"):
        assert same(form.decode(words, dtype=torch.float32), expected.astype(np.float32))
    if (again := oracles.of_gfloat(name)) is not None:
        assert same(again, expected)


@pytest.mark.parametrize("name", ORACLES)
def test_every_flip_of_every_code(name: str) -> None:
    form, expected = format_named(name), ORACLES[name]
    flipped = Upset.every_bit(form).applied(every_word(form)[:, None])
    partner = np.arange(form.words)[:, None] ^ (1 << np.arange(form.width))
    assert np.array_equal(codes(flipped, form), partner)
    assert same(form.decode(flipped, dtype=torch.float64), expected[partner])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ORACLES)
def test_rounding_of_values_ties_and_their_neighbours(name: str, dtype: torch.dtype) -> None:
    form, values = format_named(name), ORACLES[name]
    numbers = oracles.sweep(values, ties(name), np.float32 if dtype == torch.float32 else np.float64)
    codes_of = oracles.nearest(numbers, values, ties(name) if name.startswith("posit") else None)
    expected = values[codes_of]
    if np.signbit(values[values == 0]).any():  # there is a -0
        expected = np.copysign(expected, numbers)
    if overflow := OVERFLOW.get(name):
        expected = np.where(oracles.beyond(numbers, values), np.copysign(overflow, numbers), expected)
    if name.startswith("posit"):  # never rounded to 0; an infinity is not a real
        smallest = np.nanmin(np.abs(values[values != 0]))
        expected = np.where((expected == 0) & (numbers != 0), np.copysign(smallest, numbers), expected)
        expected = np.where(np.isinf(numbers), np.nan, expected)
    given = torch.from_numpy(numbers).to(dtype)
    words = form.encode(given)
    assert words.dtype == form.integer
    assert same(form.decode(words, dtype=torch.float64), expected)
    assert same(form.rounded(given), form.decode(words, dtype=dtype).double().numpy())


# What is stored of numbers beyond the largest, where it is not the largest.
OVERFLOW = {
    **dict.fromkeys(("float16", "bfloat16", "float8_e5m2", "float:e=4,m=3", "float:e=3,m=4"), np.inf),
    **{name: beyond for name, (*_, beyond) in FLOATS.items() if beyond},
    **dict.fromkeys(("float8_e4m3fnuz", "float8_e5m2fnuz", "float:e=4,m=3,bias=11,specials=fnuz"), np.nan),
}


def ties(name: str) -> Floats:
    """Return what lies between neighbours: for posits, the posits of one bit more."""
    if not name.startswith("posit"):
        return oracles.between(ORACLES[name])
    form = format_named(name)
    return oracles.posit_ties(form.width, form.exponent_bits)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", oracles.TYPES)
def test_rounding_agrees_with_the_casts_of_numpy_and_ml_dtypes(name: str) -> None:
    form, values = format_named(name), ORACLES[name]
    numbers = oracles.sweep(values, oracles.between(values), np.float32)
    largest = values[np.isfinite(values)].max()
    expected = oracles.cast(name)(numbers if name in OVERFLOW else numbers.clip(-largest, largest))
    assert same(form.rounded(torch.from_numpy(numbers).float()), expected)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "float8_e4m3fnuz"])
def test_the_other_way_to_overflow(name: str) -> None:
    other = "saturate" if name in OVERFLOW else "nan"
    form, values = format_named(f"{name}:overflow={other}"), ORACLES[name]
    numbers = oracles.sweep(values, oracles.between(values), np.float32)
    largest = values[np.isfinite(values)].max()
    expected = oracles.cast(name)(numbers.clip(-largest, largest) if other == "saturate" else numbers)
    given = torch.from_numpy(numbers).float()
    assert same(form.rounded(given), expected)
    assert same(form.decode(form.encode(given), dtype=torch.float64), expected)
    assert form.facts["overflow"] == other


@pytest.mark.parametrize("name", ORACLES)
def test_what_nan_becomes(name: str) -> None:
    form = format_named(name)
    nan = torch.tensor([torch.nan, -torch.nan])
    expected = torch.nan if np.isnan(ORACLES[name]).any() else 0.0
    for found in (form.rounded(nan), form.decode(form.encode(nan), dtype=torch.float32)):
        assert torch.equal(found.nan_to_num(7.0), torch.tensor([expected] * 2).nan_to_num(7.0))


@pytest.mark.parametrize(("width", "es"), [(8, 0), (16, 1), (8, 2), (16, 2), (6, 2)])
def test_posits_agree_with_softposit(width: int, es: int) -> None:
    softposit = pytest.importorskip("softposit", reason="softposit is built from C; install it with a compiler")
    name = posit_name(width, es)
    form, values = format_named(name), ORACLES[name]
    numbers = oracles.sweep(values, ties(name), np.float64)
    convert = {
        (8, 0): lambda x: softposit.convertDoubleToP8(x).v,
        (16, 1): lambda x: softposit.convertDoubleToP16(x).v,
    }.get((width, es), lambda x: softposit.convertDoubleToPX2(x, width).v >> (32 - width))
    numbers = numbers[:: max(1, len(numbers) // 20_000)].copy()
    expected = np.array([convert(float(x)) for x in numbers])
    assert np.array_equal(codes(form.encode(torch.from_numpy(numbers)), form), expected)


def test_the_page_says_what_is_tested() -> None:
    page = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| [a-z_, ]+ \| ([0-9,]+) \| ([0-9,]+) \|$", page, re.MULTILINE)
    told = {name: (int(words.replace(",", "")), int(flips.replace(",", ""))) for name, words, flips in rows}
    widths = {name: format_named(name).width for name in ORACLES}
    assert told == {name: (2**width, width * 2**width) for name, width in widths.items()}
