"""Max pooling by maxima of views gives what torch's kernel gives, value for value and stride for stride."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tgr_cli import pooling
from tgr_cli.pooling import QuickPools, max_pool2d


def maps(*shape: int) -> Tensor:
    x_BCHW = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x_BCHW[0, 0, 0, 0], x_BCHW[-1, -1, -1] = torch.nan, -torch.inf
    return x_BCHW


@pytest.mark.parametrize("stride", [None, 1, 2, 3, (2, 1)])
@pytest.mark.parametrize("kernel", [1, 2, 3, (3, 2), 5])
def test_it_is_torchs_pooling(kernel: Any, stride: Any) -> None:
    least = min(kernel) if isinstance(kernel, tuple) else kernel
    for height, width, padding, ceil in product((5, 7, 12), (6, 9), (0, 1, 2), (False, True)):
        if 2 * padding > least:
            continue
        x_BCHW = maps(2, 3, height, width)
        expected = functional.max_pool2d(x_BCHW, kernel, stride, padding, ceil_mode=ceil)
        found = max_pool2d(x_BCHW, kernel, stride, padding, 1, ceil)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        assert found.stride() == expected.stride()


@pytest.mark.parametrize(
    "x_BCHW",
    [
        maps(2, 3, 8, 8).to(memory_format=torch.channels_last),
        maps(2, 1, 8, 8),
        maps(2, 3, 8, 8).bfloat16(),
        maps(2, 3, 8, 8)[0],
        maps(2, 3, 8, 8).requires_grad_(),
    ],
    ids=["channels last", "one channel", "bfloat16", "one image", "gradients"],
)
def test_other_inputs_are_left_to_torch(x_BCHW: Tensor) -> None:
    expected, found = functional.max_pool2d(x_BCHW, 2), max_pool2d(x_BCHW, [2, 2], [])
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert (found.stride(), found.requires_grad) == (expected.stride(), expected.requires_grad)


def test_a_dilated_window_is_left_to_torch() -> None:
    x_BCHW = maps(2, 3, 9, 9)
    expected = functional.max_pool2d(x_BCHW, 3, dilation=2)
    torch.testing.assert_close(max_pool2d(x_BCHW, 3, dilation=2, stride=3), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), lambda x: torch.max_pool2d(x, 2)])
def test_modules_are_pooled_quickly_within_the_mode_alone(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(args)
        return max_pool2d(*args, **kwargs)

    monkeypatch.setattr(pooling, "max_pool2d", counted)
    x_BCHW = torch.rand(2, 3, 8, 8)
    expected = pool(x_BCHW)
    assert not calls
    with QuickPools():
        assert torch.equal(pool(x_BCHW), expected)
    assert len(calls) == 1


def test_positions_of_the_maxima_are_torchs() -> None:
    x_BCHW = torch.rand(2, 3, 8, 8)
    with QuickPools():
        values, places = nn.MaxPool2d(2, return_indices=True)(x_BCHW)
    assert torch.equal(x_BCHW.flatten(2).gather(2, places.flatten(2)).view_as(values), values)
