"""What `tgr formats` says a format holds, and wide formats by their properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tgr_cli.faults.formats import NATIVE, format_named
from tgr_cli.faults.formats.names import all_formats
from tgr_cli.faults.formats.properties import properties
from tgr_cli.faults.formats.rounding import shortened

WIDE = [
    "float32",
    "float64",
    "float:e=8,m=10",
    "float:e=6,m=20",
    "float:e=5,m=21,overflow=saturate",
    "fixed:int=15,frac=16",
]


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16", "float8_e5m2", "float8_e4m3fn"])
def test_figures_agree_with_torch(name: str) -> None:
    found, info = properties(format_named(name)), torch.finfo(NATIVE[name].dtype)
    assert (found.largest, found.lowest, found.smallest_normal) == (info.max, info.min, info.smallest_normal)
    assert found.epsilon == info.eps
    assert found.smallest == info.smallest_normal * info.eps
    assert found.subnormals
    assert found.nan
    assert found.negative_zero
    assert found.infinities == (name != "float8_e4m3fn")


@pytest.mark.parametrize(
    ("name", "largest", "normal", "smallest"),
    [  # OCP Microscaling Formats 1.0, tables 3 to 5, and OCP 8-bit Floating Point 1.0
        ("float6_e3m2", 28.0, 0.25, 0.0625),
        ("float6_e2m3", 7.5, 1.0, 0.125),
        ("float4_e2m1", 6.0, 1.0, 0.5),
        ("mxint8", 1 + 63 / 64, None, 1 / 64),
        ("float8_e5m2", 57344.0, 2**-14, 2**-16),
        ("posit8", 2**24, None, 2**-24),  # Standard for Posit Arithmetic (2022): maxpos is 2^(4n - 8)
        ("posit16", 2**56, None, 2**-56),
        ("fixed:int=3,frac=4", 8 - 1 / 16, None, 1 / 16),
        ("int64", 2.0**63, None, 1),
        ("bfp:m=1", 1, None, 1),
        ("fixed:int=1,frac=0", 1, None, 1),
        ("adaptivfloat:n=3,e=1", 3, 1.5, 1.5),
    ],
)
def test_figures_as_published(name: str, largest: float, normal: float | None, smallest: float) -> None:
    found = properties(format_named(name))
    assert (found.largest, found.smallest_normal, found.smallest) == (largest, normal, smallest)


@pytest.mark.parametrize("form", all_formats(), ids=lambda form: form.name)
def test_figures_agree_with_rounding(form) -> None:  # type: ignore[no-untyped-def]
    found = properties(form)
    edges = torch.tensor([found.largest, found.lowest, found.smallest, found.largest * 0.999], dtype=torch.float64)
    stored = form.decode(form.encode(edges), dtype=torch.float64)
    assert torch.equal(stored[:3], edges[:3])
    assert stored.abs().max() <= max(found.largest, -found.lowest)
    assert form.rounded(torch.tensor([-0.0])).signbit().item() == found.negative_zero


numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=60)
@given(st.sampled_from(WIDE), st.lists(numbers, min_size=2, max_size=20))
def test_wide_formats_round_to_the_nearest(name: str, given_values: list[float]) -> None:
    form, figures = format_named(name), properties(format_named(name))
    values = torch.tensor(sorted(given_values), dtype=torch.float64)
    values = values.clamp(figures.lowest, figures.largest)
    found = form.rounded(values)
    assert torch.equal(form.rounded(found), found)
    assert torch.equal(form.decode(form.encode(values), dtype=torch.float64), found)
    assert (found.diff() >= 0).all()
    precision = figures.smallest / 2 if figures.smallest_normal is None else 0
    bound = torch.maximum(values.abs() * figures.epsilon / 2, torch.tensor(max(figures.smallest / 2, precision)))
    assert ((found - values).abs() <= bound).all()


@settings(max_examples=40)
@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_the_arithmetic_for_any_size_gives_what_types_give(given_values: list[float]) -> None:
    values = torch.tensor(given_values, dtype=torch.float32)
    form = format_named("float:e=5,m=10,bias=14")  # twice float16's values, which a cast does not give
    expected = (values.double() / 2).numpy()
    with np.errstate(all="ignore"):
        assert np.array_equal(form.rounded(values).numpy() / 2, expected.astype(np.float16), equal_nan=True)
    assert torch.equal(shortened(values, 7).nan_to_num(7.0), values.bfloat16().float().nan_to_num(7.0))
