"""Flips in every format: self-inverse, exactly one bit differs, NaN payloads are preserved."""

import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tgr_cli.errors import TgrError
from tgr_cli.faults.formats import NATIVE, Native, format_named, width
from tgr_cli.faults.upset import flip

forms = st.sampled_from(list(NATIVE.values()))


def patterns(values_F: torch.Tensor, form: Native) -> list[int]:
    return [pattern % 2**form.width for pattern in values_F.view(form.integer).tolist()]


@given(st.data(), forms)
def test_a_flip_changes_exactly_its_bit_and_twice_is_the_identity(data: st.DataObject, form: Native) -> None:
    stored = data.draw(st.lists(st.integers(0, 2**form.width - 1), min_size=1, max_size=5))
    chosen = data.draw(st.lists(st.integers(0, form.width - 1), min_size=len(stored), max_size=len(stored)))
    signed = [pattern - 2**form.width if pattern >= 2 ** (form.width - 1) else pattern for pattern in stored]
    values_F = torch.tensor(signed, dtype=form.integer).view(form.dtype)
    bits_F = torch.tensor(chosen)
    once_F = flip(values_F, bits_F)
    assert once_F.dtype == form.dtype
    assert patterns(once_F, form) == [pattern ^ (1 << bit) for pattern, bit in zip(stored, chosen, strict=True)]
    assert patterns(flip(once_F, bits_F), form) == stored
    assert patterns(values_F, form) == stored


@given(st.integers(0, 2**32 - 1), st.integers(0, 31))
def test_float32_agrees_with_the_bytes_that_struct_writes(pattern: int, bit: int) -> None:
    value = np.frombuffer(struct.pack("<I", pattern), "<f4").copy()
    flipped = flip(torch.from_numpy(value), torch.tensor([bit]))
    assert flipped.numpy().tobytes() == struct.pack("<I", pattern ^ (1 << bit))


def test_nan_payloads_and_the_sign_of_zero_survive() -> None:
    nan = torch.tensor([0x7F812345], dtype=torch.int32).view(torch.float32)
    assert flip(nan, torch.tensor([31])).view(torch.int32).item() == 0xFF812345 - 2**32
    assert flip(torch.tensor([0.0]), torch.tensor([31])).view(torch.int32).item() == -(2**31)


@pytest.mark.parametrize(
    ("name", "value", "bit", "flipped"),
    [  # by hand, from IEEE 754: sign, lowest and highest bit of the exponent, highest bit of the mantissa
        ("float32", 1.5, 31, -1.5),
        ("float32", 1.0, 23, 0.5),
        ("float32", 1.5, 30, float("nan")),
        ("float32", 1.0, 30, float("inf")),
        ("float32", 1.0, 22, 1.5),
        ("float64", 1.0, 52, 0.5),
        ("float16", 1.0, 10, 0.5),
        ("bfloat16", 1.0, 7, 0.5),
        ("int8", 1, 7, -127),
        ("uint8", 1, 7, 129),
    ],
)
def test_known_flips(name: str, value: float, bit: int, flipped: float) -> None:
    found = flip(torch.tensor([value], dtype=NATIVE[name].dtype), torch.tensor([bit]))
    assert torch.equal(found.double().nan_to_num(7.0), torch.tensor([flipped]).double().nan_to_num(7.0))


@pytest.mark.parametrize("form", [f for f in NATIVE.values() if f.exponent], ids=lambda form: form.name)
def test_fields_agree_with_torch(form: Native) -> None:
    assert torch.finfo(form.dtype).bits == form.width == width(form.dtype)
    assert torch.finfo(form.dtype).eps == 2.0**-form.mantissa
    fields = {"sign": (form.width - 1,) * 2, "exponent": (form.mantissa, form.width - 2)}
    assert form.fields == fields | {"mantissa": (0, form.mantissa - 1)}


def test_what_cannot_be_flipped_is_refused_by_name() -> None:
    with pytest.raises(TgrError, match=r"bit 32 does not exist in float32; its bits are 0 to 31"):
        flip(torch.zeros(2), torch.tensor([3, 32]))
    with pytest.raises(TgrError, match=r"bit -1 does not exist in float16; its bits are 0 to 15"):
        flip(torch.zeros(1, dtype=torch.float16), torch.tensor([-1]))
    with pytest.raises(TgrError, match=r"bits of torch.complex64 cannot be flipped"):
        width(torch.complex64)
    with pytest.raises(TgrError, match=r'--format is "float23"; use one of float64, .* Did you mean "float\d\d"\?'):
        format_named("float23")
