"""Format names: canonical ones, aliases, options, and the errors of mistakes."""

import pytest
import torch

from tgr_cli.errors import TgrError
from tgr_cli.faults.formats import NATIVE, Native, format_named
from tgr_cli.faults.formats.names import ENTRIES, all_formats
from tgr_cli.faults.spellings import ALIASES

WITH_OPTIONS = [
    "bfloat16:overflow=saturate",
    "float8_e4m3fn:overflow=nan",
    "float:e=5,m=6,bias=20,specials=fn,overflow=saturate",
    "float:e=8,m=10",
    "int8:affine,channel,scale=power-of-two",
    "uint8:affine",
    "fixed:int=0,frac=15",
    "bfp:m=4,block=8",
    "mxfp4_e2m1:block=16",
    "adaptivfloat:n=6,e=2",
    "posit:n=10,es=1",
    "posit8:es=0",
]


@pytest.mark.parametrize("name", [*(form.name for form in all_formats()), *WITH_OPTIONS])
def test_a_name_gives_an_equal_format_again(name: str) -> None:
    form = format_named(name)
    assert form.name == name
    assert format_named(form.name) == form
    assert form.facts["name"] == name
    assert form.what
    assert sum(high - low + 1 for low, high in form.fields.values()) == form.width
    assert [form.field(bit) for bit in range(form.width)].count("sign") <= 1


def test_formats_with_different_options_differ() -> None:
    forms = [*all_formats(), *map(format_named, WITH_OPTIONS)]
    assert all(one != other for i, one in enumerate(forms) for other in forms[:i])


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        *ALIASES.items(),
        ("BF16", "bfloat16"),
        ("q4.4", "fixed:int=4,frac=4"),
        ("Q0.7", "fixed:int=0,frac=7"),
        ("posit<8,1>", "posit8:es=1"),
        ("Posit(16, 2)", "posit16"),
        ("posit<6,0>", "posit:n=6,es=0"),
        ("E4M3", "float8_e4m3fn"),
        ("Half", "float16"),
        ("FP32", "float32"),
        ("fp8_e5m2fnuz", "float8_e5m2fnuz"),
        ("torch.float8_e5m2", "float8_e5m2"),
        ("fp8-e4m3", "float8_e4m3fn"),
        ("mxfp4", "mxfp4_e2m1"),
        ("fp4", "float4_e2m1"),
        ("MXFP4:Block=16", "mxfp4_e2m1:block=16"),
        ("INT8:Scale=Power-of-two", "int8:scale=power-of-two"),
        ("posit:n=8,es=1", "posit8:es=1"),
        (" fp16 ", "float16"),
        ("float:e=8,m=23", "float32"),
        ("float:e=8,m=7", "bfloat16"),
        ("float:m=10,e=5", "float16"),
        ("float:e=4,m=3,specials=fn,overflow=saturate", "float8_e4m3fn"),
        ("float:e=5,m=2,overflow=inf", "float8_e5m2"),
        ("posit:n=16", "posit16"),
        ("posit:n=8,es=2", "posit8"),
        ("bfp:block=16,m=7", "bfp"),
        ("int8:scale=float", "int8"),
        ("int8:", "int8"),
        ("int8:channel, affine", "int8:affine,channel"),
    ],
)
def test_other_names_of_a_format(name: str, canonical: str) -> None:
    assert format_named(name).name == canonical


def test_types_of_torch_are_themselves() -> None:
    for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32"):
        assert format_named(name) is NATIVE[name]
    assert set(NATIVE) <= set(ENTRIES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("float23", r'--format is "float23"; use one of float64, .*\. Did you mean "float\d\d"\?'),
        ("bf61", r'--format is "bf61"; use one of .*\. Did you mean "bf16"\?'),
        ("mxfp8", r'^--format is "mxfp8", and there are 2 formats of this kind; use one of mxfp8_e4m3, mxfp8_e5m2$'),
        ("FP6", r'^--format is "FP6", and there are 2 formats of this kind; use one of float6_e3m2, float6_e2m3$'),
        ("q40.2", r'is "q40\.2", where int is "40"; use a whole number from 0 to 31'),
        ("", r'--format is ""; use one of float64, '),
        (
            "int8:afine",
            r'is "int8:afine", with an option "afine"; int8 takes affine, channel, scale=float\|power-of-two\. D',
        ),
        ("int8:affine=1", r'where affine is "1"; it takes no value: write int8:affine'),
        ("int8:scale", r"where scale has no value; write it as scale=float\|power-of-two"),
        ("int8:scale=power", r'where scale is "power"; use one of float, power-of-two\.'),
        ("float32:e=3", r'with an option "e"; float32 takes no options\.'),
        ("float", r'is "float", and float needs e and m; write it as float:e=4,m=3'),
        ("float:e=4", r"and float needs m; write it as float:e=4,m=3"),
        ("float:e=4,m=x", r'where m is "x"; use a whole number from 1 to 23'),
        ("float:e=9,m=3", r'where e is "9"; use a whole number from 2 to 8'),
        ("float:e=4,e=5,m=3", r"with e twice; give it once"),
        ("float:e=5,m=23", r"m is 23; use at most 21, or float32"),
        ("float:e=8,m=7,bias=100", r"8 bits of exponent go with bias=127 and specials=ieee alone"),
        ("float:e=4,m=3,bias=99", r"bias is 99; use 1 to 14, so that 1 is among the normal numbers"),
        ("float:e=4,m=3,overflow=nan", r"with specials=ieee overflow is inf or saturate; use one of these"),
        ("fixed:int=20,frac=20", r"int and frac are together 40 bits; use 1 to 31, beside the sign"),
        ("fixed:int=0,frac=0", r"int and frac are together 0 bits"),
        ("adaptivfloat:n=4,e=3", r"n is 4 and e is 3; use an e of at most 2"),
        ("posit:n=17", r'where n is "17"; use a whole number from 3 to 16'),
        ("mxfp4_e2m1:block=0", r'where block is "0"; use a whole number from 1 to 65536'),
    ],
)
def test_mistakes_are_told_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(TgrError, match=words):
        format_named(text)


def test_the_option_that_is_wrong_is_named() -> None:
    with pytest.raises(TgrError, match=r'^--weight-format is "int9"; use one of'):
        format_named("int9", "--weight-format")


def test_whole_numbers_of_torch_are_rounded_and_clipped() -> None:
    values = torch.tensor([2.5, -3.5, 1e30, -torch.inf, torch.nan, -0.2])
    for name in ("int64", "int32", "int16", "int8", "uint8"):
        form = NATIVE[name]
        ends = torch.iinfo(form.dtype)
        low = -4 if ends.min else 0
        assert form.encode(values).view(form.dtype).tolist() == [2, low, ends.max, ends.min, 0, 0]


def test_wide_values_are_rounded_once() -> None:
    # Just above a tie of the short format, but by less than float32 can tell.
    for name, tie in (("bfloat16", 1 + 2**-8), ("float16", 1 + 2**-11), ("float8_e4m3fn", 1 + 2**-4)):
        form = format_named(name)
        assert isinstance(form, Native) == (name != "float8_e4m3fn")
        above = torch.tensor([tie + 2**-40, -tie - 2**-40, tie], dtype=torch.float64)
        step = 2 * (tie - 1)
        assert form.rounded(above).tolist() == [1 + step, -1 - step, 1.0]
        assert form.decode(form.encode(above), dtype=torch.float64).tolist() == [1 + step, -1 - step, 1.0]
