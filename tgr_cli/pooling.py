"""Max pooling as maxima of shifted views: the same values as torch's kernel for contiguous maps, several times faster.

torch's kernel for maps stored channel by channel visits one element of one window at a time; it takes half of the
forward pass of SqueezeNet or VGG. Maxima along rows and then along columns are vectorised. A maximum is exact, so the
order does not matter; only the sign of a zero may differ.

Suffixes: B batch, C channels, H W height and width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class QuickPools(TorchFunctionMode):
    """Within it, a module's max pooling is computed by `max_pool2d`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.max_pool2d, functional.max_pool2d) and not kwargs.pop("return_indices", False):
            return max_pool2d(*args, **kwargs)
        return func(*args, **kwargs)


def max_pool2d(
    x_BCHW: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = (),
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Return `torch.max_pool2d` of the same arguments, which is called where views would not be faster."""
    sizes = [_pair(value) for value in (kernel_size, stride or kernel_size, padding, dilation)]
    if _suits(x_BCHW) and sizes[3] == (1, 1):
        result: Tensor | None = x_BCHW
        for axis, (kernel, step, pad, _) in zip((2, 3), zip(*sizes, strict=True), strict=True):
            result = None if result is None else _along(result, axis, kernel, step, pad, ceil_mode)
        if result is not None:
            laid_out = torch.empty(result.shape, dtype=result.dtype)
            return result if result.stride() == laid_out.stride() else laid_out.copy_(result)
    kernel_HW, stride_HW, padding_HW, dilation_HW = sizes
    return torch.max_pool2d(x_BCHW, kernel_HW, stride_HW, padding_HW, dilation_HW, ceil_mode)


def _suits(x_BCHW: Tensor) -> bool:
    """Return whether the maps are such as torch's kernel is slow for."""
    return (
        x_BCHW.ndim == 4
        and x_BCHW.device.type == "cpu"
        and x_BCHW.dtype in (torch.float32, torch.float64)
        and x_BCHW.is_contiguous()
        and not x_BCHW.is_contiguous(memory_format=torch.channels_last)
        and not (torch.is_grad_enabled() and x_BCHW.requires_grad)
    )


def _along(x_BCHW: Tensor, axis: int, kernel: int, step: int, pad: int, ceil_mode: bool) -> Tensor | None:
    """Return the maxima along one axis; None where no element of the window lies in the map for every output."""
    size = x_BCHW.shape[axis]
    count = (size + 2 * pad - kernel + (step - 1 if ceil_mode else 0)) // step + 1
    if ceil_mode and (count - 1) * step >= size + pad:  # the last window would begin in the padding
        count -= 1
    # For each element of the window, the first and last output for which it lies in the map.
    reaches = [
        (place, max(0, -(-(pad - place) // step)), min(count - 1, (size - 1 + pad - place) // step))
        for place in range(kernel)
    ]
    everywhere = next((place for place, first, last in reaches if (first, last) == (0, count - 1)), None)
    if everywhere is None or count < 1:
        return None
    result = _every(x_BCHW, axis, everywhere - pad, step, count)
    own = False
    for place, first, last in reaches:
        if place == everywhere or first > last:
            continue
        there = _every(x_BCHW, axis, first * step - pad + place, step, last - first + 1)
        if last - first + 1 == count:
            result, own = torch.maximum(result, there), True
            continue
        if not own:
            result, own = result.clone(memory_format=torch.contiguous_format), True
        some = result.narrow(axis, first, last - first + 1)
        torch.maximum(some, there, out=some)
    return result


def _every(x_BCHW: Tensor, axis: int, start: int, step: int, count: int) -> Tensor:
    """Return `count` elements along an axis, one every `step`."""
    index = [slice(None)] * x_BCHW.ndim
    index[axis] = slice(start, start + (count - 1) * step + 1, step)
    return x_BCHW[tuple(index)]


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[-1])
