"""The number formats by name. To add one, write its class in a file of its own and give it an entry here."""

from functools import lru_cache
from typing import cast

from tgr_cli.errors import TgrError
from tgr_cli.faults.formats.adaptive import AdaptivFloat
from tgr_cli.faults.formats.block import Block, SignMagnitude
from tgr_cli.faults.formats.fixed import Fixed
from tgr_cli.faults.formats.float import Float, Overflow, Specials, usual_bias
from tgr_cli.faults.formats.format import Format
from tgr_cli.faults.formats.integer import Integer
from tgr_cli.faults.formats.native import NATIVE
from tgr_cli.faults.formats.posit import Posit
from tgr_cli.faults.grammar import Choice, Count, Entry, Flag, Option, UnsuitableOptionsError
from tgr_cli.faults.option_names import known_format


def format_named(text: str, option: str = "--format") -> Format:
    """Return the format of this name; its own `name` is the canonical one, which gives an equal format again.

    Raises TgrError, in the name of the command's `option`, for an unknown name or options that do not suit.

    >>> format_named("bf16").name, format_named("Q3.4").name, format_named("posit<8,1>").name
    ('bfloat16', 'fixed:int=3,frac=4', 'posit8:es=1')
    >>> format_named("bfloat16").fields
    {'sign': (15, 15), 'exponent': (7, 14), 'mantissa': (0, 6)}
    >>> format_named("float:e=4,m=3,overflow=saturate").rounded(torch.tensor([0.3, 1000.0])).tolist()
    [0.3125, 240.0]
    """
    found, (name, options) = f'{option} is "{text}"', known_format(text, option)
    entry = ENTRIES[name]
    values = entry.parsed(name, options, found)
    try:
        form = entry.make(entry.named(name, values), **values)
    except UnsuitableOptionsError as error:
        raise TgrError(f"{found}: {error}") from error
    return next((known for known in _without_options() if known == form), form)


@lru_cache(maxsize=1)
def all_formats() -> tuple[Format, ...]:
    """Return every named format; those that need options, with the values of an example."""
    return tuple(format_named(entry.named(name, entry.examples)) for name, entry in ENTRIES.items())


@lru_cache(maxsize=1)
def _without_options() -> tuple[Format, ...]:
    return tuple(entry.make(name, **entry.defaults) for name, entry in ENTRIES.items() if not entry.examples)


def _native(name: str) -> Entry:
    return Entry(lambda _: NATIVE[name])


def _float(name: str, e: int, m: int, bias: int | None, specials: Specials, overflow: Overflow | None) -> Format:
    usual = usual_bias(e, specials)
    bias = usual if bias is None else bias
    beyond: Overflow = cast(Overflow, {"ieee": "inf", "none": "saturate"}.get(specials, "nan"))
    overflow = overflow or beyond
    if overflow not in (beyond, "saturate"):
        raise UnsuitableOptionsError(f"with specials={specials} overflow is {beyond} or saturate; use one of these")
    native = {(8, 23): "float32", (8, 7): "bfloat16", (5, 10): "float16"}.get((e, m))
    if native and (bias, specials, overflow) == (usual, "ieee", "inf"):
        return NATIVE[native]
    if m > 21:
        raise UnsuitableOptionsError(f"m is {m}; use at most 21, or float32")
    if e == 8 and (bias, specials) != (usual, "ieee"):
        raise UnsuitableOptionsError(
            "8 bits of exponent go with bias=127 and specials=ieee alone, as in float32; use those"
        )
    form = Float(name, e, m, bias, specials, overflow, f"floating point of {e} exponent and {m} mantissa bits")
    if not 1 <= bias <= bias + form.top:
        raise UnsuitableOptionsError(
            f"bias is {bias}; use 1 to {bias + form.top}, so that 1 is among the normal numbers"
        )
    return form


def _small_float(e: int, m: int, specials: Specials, overflow: tuple[Overflow, ...], what: str) -> Entry:
    """Return the entry of a float whose default overflow is the first given."""

    def make(name: str, overflow: Overflow) -> Format:
        if name in ("float16", "bfloat16"):  # with overflow=saturate the name is longer
            return NATIVE[name]
        return Float(name, e, m, usual_bias(e, specials), specials, overflow, what)

    return Entry(make, {"overflow": Choice(tuple(overflow), overflow[0])})


def _fixed(name: str, **bits: int) -> Format:
    whole, fraction = bits["int"], bits["frac"]
    if not 1 <= whole + fraction <= 31:
        raise UnsuitableOptionsError(f"int and frac are together {whole + fraction} bits; use 1 to 31, beside the sign")
    return Fixed(name, whole, fraction, f"fixed point: a sign, {whole} integer and {fraction} fraction bits")


def _integer(width: int, signed: bool = True) -> Entry:
    def make(name: str, affine: bool, channel: bool, scale: str) -> Format:
        scheme = (
            "affine, the codes span the range" if affine else f"symmetric, step = max|x| / {2 ** (width - signed) - 1}"
        )
        powers = scale == "power-of-two"
        what = f"{scheme}{' (up to a power of two)' if powers else ''}, per {'channel' if channel else 'tensor'}"
        return Integer(name, width, signed, affine, channel, powers, what)

    return Entry(make, {"affine": Flag(), "channel": Flag(), "scale": Choice(("float", "power-of-two"), "float")})


def _bfp(name: str, m: int, block: int) -> Format:
    what = f"block floating point: sign and {m} bits each, an exponent per {block} values"
    return Block(name, SignMagnitude(m), m - 1, block, what=what)


def _mx(element: str, top: int) -> Entry:
    def make(name: str, block: int) -> Format:
        form = Fixed(name, 1, 6) if element == "int8" else _element(name, element)
        special = getattr(form, "specials", "none") != "none"
        return Block(
            name,
            form,
            top,
            block,
            bounded=not special,
            what=f"OCP microscaling: {element} elements, an exponent per {block}",
        )

    return Entry(make, {"block": Count(1, 65536, 32)})


def _element(name: str, element: str) -> Float:
    e, m = int(element[1]), int(element[3])
    specials = {"e4m3": "fn", "e5m2": "ieee"}.get(element, "none")
    return Float(name, e, m, usual_bias(e, "ieee"), cast(Specials, specials), "saturate")


def _adaptivfloat(name: str, n: int, e: int) -> Format:
    if e > n - 2:
        raise UnsuitableOptionsError(
            f"n is {n} and e is {e}; use an e of at most {n - 2}, for a sign and a mantissa bit"
        )
    what = f"AdaptivFloat: {e} exponent and {n - 1 - e} mantissa bits, a bias per tensor"
    return AdaptivFloat(name, e, n - 1 - e, what)


def _posit(name: str, n: int, es: int) -> Format:
    if (short := f"posit{n}") in ENTRIES:  # one name for a format
        name = ENTRIES[short].named(short, {"es": es})
    return Posit(name, n, es, f"posit of {n} bits, up to {es} of them exponent")


_POSIT_ES: dict[str, Option] = {"es": Count(0, 3, 2)}

ENTRIES: dict[str, Entry] = {
    "float64": _native("float64"),
    "float32": _native("float32"),
    "float16": _small_float(5, 10, "ieee", ("inf", "saturate"), "IEEE 754 binary16, saturating"),
    "bfloat16": _small_float(8, 7, "ieee", ("inf", "saturate"), "the upper half of a float32, saturating"),
    "float8_e4m3fn": _small_float(4, 3, "fn", ("saturate", "nan"), "OCP FP8 E4M3: one NaN, no infinities"),
    "float8_e5m2": _small_float(5, 2, "ieee", ("inf", "saturate"), "OCP FP8 E5M2, as IEEE 754"),
    "float8_e4m3fnuz": _small_float(4, 3, "fnuz", ("nan", "saturate"), "FP8 with NaN in place of -0, no infinities"),
    "float8_e5m2fnuz": _small_float(5, 2, "fnuz", ("nan", "saturate"), "FP8 with NaN in place of -0, no infinities"),
    "float6_e3m2": _small_float(3, 2, "none", ("saturate",), "OCP FP6 E3M2: numbers only"),
    "float6_e2m3": _small_float(2, 3, "none", ("saturate",), "OCP FP6 E2M3: numbers only"),
    "float4_e2m1": _small_float(2, 1, "none", ("saturate",), "OCP FP4 E2M1: numbers only"),
    "float": Entry(
        _float,
        {
            "e": Count(2, 8, example=4),
            "m": Count(1, 23, example=3),
            "bias": Count(1, 127),
            "specials": Choice(("ieee", "fn", "fnuz", "none"), "ieee"),
            "overflow": Choice(("inf", "nan", "saturate"), None),
        },
    ),
    "fixed": Entry(_fixed, {"int": Count(0, 31, example=3), "frac": Count(0, 31, example=4)}),
    "int64": _native("int64"),
    "int32": _native("int32"),
    "int16": _integer(16),
    "int8": _integer(8),
    "int4": _integer(4),
    "uint8": _integer(8, signed=False),
    "bfp": Entry(_bfp, {"m": Count(1, 15, 7), "block": Count(1, 65536, 16)}),
    "mxfp8_e4m3": _mx("e4m3", 8),
    "mxfp8_e5m2": _mx("e5m2", 15),
    "mxfp6_e3m2": _mx("e3m2", 4),
    "mxfp6_e2m3": _mx("e2m3", 2),
    "mxfp4_e2m1": _mx("e2m1", 2),
    "mxint8": _mx("int8", 0),
    "adaptivfloat": Entry(_adaptivfloat, {"n": Count(3, 16, 8), "e": Count(1, 5, 3)}),
    "posit8": Entry(lambda name, es: _posit(name, 8, es), _POSIT_ES),
    "posit16": Entry(lambda name, es: _posit(name, 16, es), _POSIT_ES),
    "posit": Entry(_posit, {"n": Count(3, 16, example=6), **_POSIT_ES}),
}
