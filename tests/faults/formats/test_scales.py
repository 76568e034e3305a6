"""Formats with a scale: the scale that is fitted, values stored with it, and the scale's own words."""

import math

import ml_dtypes
import numpy as np
import pytest
import torch
from gfloat import compute_scale_amax, quantize_block
from gfloat import formats as gfloat_formats
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.formats import Format, Scale, format_named
from tgr_cli.faults.formats.exponent import BIAS, E8M0

MX = ["mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4_e2m1", "mxint8"]
SCALED = [
    "int16",
    "int8",
    "int4",
    "uint8",
    "int8:affine",
    "uint8:affine,scale=power-of-two",
    "bfp",
    "adaptivfloat",
    *MX,
]


def fitted(form: Format, low: float, high: float) -> Scale:
    scale = form.fit(torch.tensor(low), torch.tensor(high))
    assert scale is not None
    assert scale.step.dtype == torch.float32
    return scale


def draws(shape: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    powers = torch.randint(-20, 20, (*shape[:-1], 1), generator=generator)
    return torch.randn(shape, generator=generator) * 2.0**powers


@pytest.mark.parametrize("width", [4, 8, 16])
def test_symmetric_integers_as_published(width: int) -> None:
    # ISSRE 2021: s = max|x| / 127, q = clip(round(x / s), -128, 127); in float32, as numpy computes it.
    form, end = format_named(f"int{width}"), 2 ** (width - 1)
    values = draws((20_000,), seed=width)
    scale = form.fit(values.min(), values.max())
    given = values.numpy()
    step = np.abs(given).max() / np.float32(end - 1)
    codes = np.clip(np.rint(given / step), -end, end - 1)
    assert scale is not None
    assert scale.step.item() == step
    assert np.array_equal(form.decode(form.encode(values), dtype=torch.float32), np.clip(np.rint(given), -end, end - 1))
    assert np.array_equal(form.signed(form.encode(values, scale)).numpy(), codes)
    assert np.array_equal(form.rounded(values, scale), (codes * step).astype(np.float32))
    beyond = torch.tensor([-torch.inf, -1e38, 1e38, torch.inf, torch.nan, -0.0])
    assert form.signed(form.encode(beyond, scale)).tolist() == [-end, -end, end - 1, end - 1, 0, 0]


@pytest.mark.parametrize(("name", "low", "high"), [("uint8", 0, 255), ("int8", -128, 127), ("int4", -8, 7)])
def test_affine_integers_span_the_range_and_hold_zero(name: str, low: int, high: int) -> None:
    form = format_named(f"{name}:affine")
    for first, last in ((-1.0, 3.0), (0.0, 5.0), (2.0, 5.0), (-7.0, -3.0), (-0.001, 1000.0)):
        scale = fitted(form, first, last)
        assert scale.zero is not None
        step, zero = scale.step.item(), int(scale.zero)
        assert step == np.float32((max(last, 0) - min(first, 0)) / (high - low))
        assert low <= zero <= high
        assert form.rounded(torch.zeros(1), scale).item() == 0
        ends = form.rounded(torch.tensor([first, last, first - 100, last + 100]), scale)
        assert (ends[:2] - torch.tensor([first, last])).abs().max() <= step / 2 * 1.0001
        assert ((ends[2:] - torch.tensor([min(first, 0), max(last, 0)])).abs() <= step).all()
        values = torch.linspace(first, last, 1001)
        codes = np.clip(np.rint(values.numpy() / np.float32(step)) + zero, low, high)
        numbers = form.encode(values, scale).to(torch.int64).numpy() % form.words
        assert np.array_equal(numbers, codes % form.words)


def test_a_power_of_two_is_the_smallest_that_holds_the_range() -> None:
    form = format_named("int8:scale=power-of-two")
    for peak in (1.0, 127.0, 128.0, 0.1, 3e-30, 127 * 2.0**-60):
        step = fitted(form, -peak, peak / 2).step.item()
        assert math.frexp(step)[0] == 0.5
        assert step / 2 < peak / 127 <= step
    assert fitted(form, -127.0, 0.0).step == 1
    assert form.scale_format is E8M0


def test_channels_have_their_own_scales() -> None:
    form = format_named("int8:channel")
    values = torch.tensor([[1.0, -2.0], [100.0, 50.0]])
    scale = form.fit(values.amin(1, keepdim=True), values.amax(1, keepdim=True))
    assert form.shared == "channel"
    assert form.encode(values, scale).tolist() == [[64, -127], [127, 64]]
    alone = format_named("int8")
    for row in range(2):
        assert torch.equal(
            form.rounded(values, scale)[row],
            alone.rounded(values[row], fitted(alone, 0.0, float(float(values[row].abs().max())))),
        )


@pytest.mark.parametrize("name", MX)
def test_microscaling_agrees_with_gfloat(name: str) -> None:
    form = format_named(name)
    info = getattr(gfloat_formats, f"format_info_{name}")
    values = draws((12, 32), seed=1)
    values[0] = 0.0
    values[1] *= 2.0**-120
    values[2] = values[2].abs().clamp(max=1) * 2.0**126
    values[3] = torch.linspace(-1, 1, 32) * 1.999  # elements beyond the largest
    scale = form.fit(*torch.aminmax(values, dim=1, keepdim=True))
    assert scale is not None
    for row, given in enumerate(values.double().numpy()):
        assert scale.step[row].item() == compute_scale_amax(info.etype.emax, given)
        expected = quantize_block(info, given, compute_scale_amax)
        assert np.array_equal(form.rounded(values, scale)[row].double(), expected)
        words = form.encode(values, scale)
        assert np.array_equal(form.decode(words, scale, dtype=torch.float64)[row], expected)


@pytest.mark.parametrize("name", [*MX, "bfp"])
def test_a_block_that_is_not_finite_is_nan(name: str) -> None:
    form = format_named(name)
    for wrong in (torch.inf, -torch.inf, torch.nan):
        low, high = torch.aminmax(torch.tensor([[1.0, wrong], [1.0, -3.0]]), dim=1, keepdim=True)
        scale = form.fit(low, high)
        assert scale is not None
        assert form.scale_format is E8M0
        assert E8M0.encode(scale.step).tolist()[0] == [-1]  # 255
        assert form.rounded(torch.ones(2, 2), scale).isnan().tolist() == [[True, True], [False, False]]


def test_block_floating_point_by_hand() -> None:
    form = format_named("bfp:m=3,block=4")
    values = torch.tensor([5.0, -3.4, 0.4, -0.3])  # 2^2 <= 5 < 2^3: with 3 bits the step is 1
    scale = fitted(form, -3.4, 5.0)
    assert (form.block, scale.step.item()) == (4, 1.0)
    assert form.encode(values, scale).tolist() == [0b0101, 0b1011, 0b0000, 0b1000]
    assert form.rounded(torch.tensor([7.6, -100.0]), scale).tolist() == [7.0, -7.0]
    assert fitted(form, 0.0, 7.9).step == 1
    assert fitted(form, 0.0, 8.0).step == 2
    below = torch.tensor(8 - 1e-12, dtype=torch.float64)  # 8 as a float32, yet not 8
    assert form.fit(-below, below).step == 1  # type: ignore[union-attr]
    assert form.fit(torch.tensor(0.0), torch.tensor(5.0).bfloat16()).step == 1  # type: ignore[union-attr]


def test_adaptivfloat_by_hand() -> None:
    # Tambe et al., DAC 2020, figure 2 gives n = 4, e = 2 with a bias of -2: ±{0.375, 0.5, 0.75, 1, 1.5, 2, 3} and 0.
    form = format_named("adaptivfloat:n=4,e=2")
    scale = fitted(form, -2.9, 2.1)
    assert scale.step == 2**-2
    words = torch.arange(16, dtype=torch.int8)
    positive = [0.0, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0]
    assert form.decode(words, scale, dtype=torch.float32).tolist() == [*positive, *(-x for x in positive)]
    given = torch.tensor([0.1875, 0.19, 0.3, -0.43, 0.4375, 2.5, 9.0, -torch.inf, torch.nan])
    assert form.rounded(given, scale).tolist() == [0.0, 0.375, 0.375, -0.375, 0.5, 2.0, 3.0, -3.0, 0.0]
    assert BIAS.encode(scale.step).item() == -2
    assert BIAS.decode(torch.tensor([-1], dtype=torch.int8), dtype=torch.float32).item() == 0.5


@pytest.mark.parametrize("name", SCALED)
def test_what_is_stored_is_what_is_rounded_and_stays(name: str) -> None:
    form = format_named(name)
    for seed in range(4):
        values = draws((500,), seed).abs() if name == "uint8" else draws((500,), seed)
        scale = form.fit(values.min(), values.max())
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            given = values.to(dtype)
            once = form.rounded(given, scale)
            assert once.dtype == dtype
            assert torch.equal(once, form.decode(form.encode(given, scale), scale, dtype=dtype))
            assert torch.equal(once.signbit(), form.decode(form.encode(given, scale), scale, dtype=dtype).signbit())
            if dtype != torch.bfloat16:  # where the values of the format are not representable
                assert torch.equal(form.rounded(once, scale), once)
        assert torch.equal(
            form.rounded(values.reshape(25, 20).t(), scale), form.rounded(values, scale).reshape(25, 20).t()
        )


@pytest.mark.parametrize("name", SCALED)
def test_values_that_are_all_zero_stay_zero(name: str) -> None:
    form = format_named(name)
    scale = fitted(form, 0.0, 0.0)
    assert 0 < scale.step < 2**-100
    assert form.rounded(torch.zeros(3), scale).tolist() == [0.0] * 3
    assert form.rounded(torch.tensor([5.0]), scale).item() < 2**-90  # nothing beyond the range that was fitted


@pytest.mark.parametrize("name", SCALED)
def test_the_step_is_a_word_of_the_scales_format(name: str) -> None:
    form = format_named(name)
    assert form.scale_format is not None
    for peak in (1e-30, 0.7, 1.0, 12345.0):
        step = fitted(form, 0.0, peak).step.reshape(1)
        assert torch.equal(form.scale_format.decode(form.scale_format.encode(step), dtype=torch.float32), step)


def test_shared_exponents_agree_with_ml_dtypes() -> None:
    words = E8M0.word(torch.arange(256))
    expected = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e8m0fnu).astype(np.float32)
    assert np.array_equal(E8M0.decode(words, dtype=torch.float32), expected, equal_nan=True)
    below = expected[1:-2] * np.float32(1.4999)  # but for the lowest, a subnormal float32 that ml_dtypes rounds up
    numbers = np.concatenate([expected, expected * np.float32(1.5), below, [0, -1, np.inf]]).astype(np.float32)
    with np.errstate(all="ignore"):
        codes = numbers.astype(ml_dtypes.float8_e8m0fnu).view(np.uint8)
    assert np.array_equal(E8M0.encode(torch.from_numpy(numbers)).view(torch.uint8), codes)
    biases = BIAS.word(torch.arange(-128, 128))
    steps = BIAS.decode(biases, dtype=torch.float32)
    assert steps.tolist() == [2.0**bias for bias in range(-128, 128)]
    assert torch.equal(BIAS.encode(steps), biases)


@pytest.mark.parametrize("name", ["int8", "int8:affine", "int16:channel", "adaptivfloat"])
@pytest.mark.parametrize("end", [torch.inf, torch.nan, 1e39])
def test_a_range_that_is_not_finite_is_refused(name: str, end: float) -> None:
    with pytest.raises(TgrError, match=rf"^{name} cannot be fitted to values that are not all finite in float32; find"):
        format_named(name).fit(torch.zeros(2), torch.tensor([1.0, end], dtype=torch.float64))


def test_negative_values_are_refused_where_there_is_no_sign() -> None:
    with pytest.raises(
        TgrError, match=r"uint8 holds no negative numbers, and the values go down to -2.5; use uint8:aff"
    ):
        format_named("uint8").fit(torch.tensor(-2.5), torch.tensor(1.0))
