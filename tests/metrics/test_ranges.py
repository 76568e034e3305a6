import math

import numpy as np
import pytest
import torch

from tgr_cli.metrics.ranges import PERCENTILES, RangeProfile


def profile(*tensors: torch.Tensor) -> RangeProfile:
    found = RangeProfile()
    for tensor in tensors:
        found.add(tensor)
    return found


def exact(values: torch.Tensor, share: float) -> float:
    return float(np.quantile(values.abs().double().numpy(), share, method="inverted_cdf"))


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 7.7e4, 1e30])
def test_percentiles_are_within_a_thousandth_of_the_exact_ones(scale):
    values = torch.randn(40_000, generator=torch.Generator().manual_seed(1)) ** 3 * scale
    found = profile(*values.reshape(8, 5, 1000)).result()
    for name, share in PERCENTILES.items():
        assert found[name] == pytest.approx(exact(values, share), rel=1e-3)
    assert (found["min"], found["max"]) == (float(values.min()), float(values.max()))
    assert found["max_abs"] == float(values.abs().max())
    assert found["mean_abs"] == pytest.approx(float(values.double().abs().mean()), rel=1e-12)


def test_small_cases_are_exact():
    assert profile(torch.zeros(5)).result() == dict.fromkeys(
        ("min", "max", "max_abs", "mean_abs", "p99", "p99_9", "p99_99"), 0.0
    )
    one = profile(torch.tensor([-1.999])).result()
    assert one["max_abs"] == one["mean_abs"] == -one["min"] == pytest.approx(1.999)
    assert one["p99"] <= one["max_abs"]


def test_the_split_into_batches_and_chunks_does_not_matter(monkeypatch):
    values = torch.randn(1000, generator=torch.Generator().manual_seed(2))
    whole = profile(values).result()
    monkeypatch.setattr("tgr_cli.metrics.ranges.CHUNK", 300)
    parts = profile(values[:3], values[3:600], values[600:]).result()
    assert parts == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_formats(dtype):
    values = torch.linspace(-3, 2, 301).to(dtype)
    found = profile(values).result()
    assert found["p99"] == pytest.approx(exact(values.float(), 0.99), rel=1e-3)
    assert (found["min"], found["max"]) == (-3, 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("order", [1, -1])
def test_a_value_that_is_not_finite_is_remembered(bad, order):
    batches = [torch.tensor([1.0, bad, 2.0]), torch.tensor([3.0])][::order]
    assert not profile(*batches).finite
    assert profile(torch.tensor([1.0])).finite
