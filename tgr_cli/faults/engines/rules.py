"""Propagation rules: from the change of an ATen operation's input to the change of its output.

Linear operations map the change itself; others use f(g + δ) − f(g), with the golden value g. A rule returns None where
it does not apply or the change would fill most of the map; the rest of the network is then run normally.

Suffixes: K faults, C channels, O output channels, H W height and width of the map, h w of the window.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.fx.node import Node
from torch.nn import functional

from tgr_cli.faults.engines.batch import Batch, elementwise, scale_and_shift
from tgr_cli.faults.engines.reach import Place, reach_through
from tgr_cli.faults.engines.windows import Window, outside, united
from tgr_cli.faults.operation_names import BATCH_NORM, POINTWISE, name_of

aten = torch.ops.aten
# Windows that fill more of a map are run as the whole map. Where each channel is convolved alone, reading a window
# costs more than convolving it, so that whole maps are quicker sooner.
LARGEST_SHARE, LARGEST_SHARE_DEPTHWISE = 0.85, 0.5


Rule = Callable[[Batch, Any], Window | None]  # the node's arguments depend on its operation


def _pair(value: Any) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return (values[0], values[-1])


def _argument(node: Any, place: int, name: str, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def _map(node: Any) -> tuple[int, int, int] | None:
    """Return (C, H, W) of a node's value, a map or vector per image; None for other shapes."""
    shape = tuple(node.meta["val"].shape)
    if len(shape) == 4:
        return shape[1], shape[2], shape[3]
    return (shape[1], 1, 1) if len(shape) == 2 else None


def _same(batch: Batch, node: Any) -> Window | None:
    return batch.changes[node.args[0]]


def _item(batch: Batch, node: Any) -> Window | None:
    return batch.changes[node.args[0]] if node.args[1] == 0 and name_of(node.args[0]) == BATCH_NORM else None


def _batch_norm(batch: Batch, node: Any) -> Window | None:
    window = batch.changes[node.args[0]]
    scale, _ = scale_and_shift(batch, node, window)
    return window.with_delta(window.delta * scale)


def _pointwise(batch: Batch, node: Any) -> Window | None:
    if not elementwise(node):
        return None
    window = batch.changes[node.args[0]]
    golden = batch.values(node.args[0], window)
    if golden is None:
        return None
    arguments = (node.args[1:], node.kwargs)
    before = node.target(golden, *arguments[0], **arguments[1])
    after = node.target(golden.add_(window.delta), *arguments[0], **arguments[1])
    return window.with_delta(after.sub_(before))


def _add(batch: Batch, node: Any) -> Window | None:
    sign = -1 if name_of(node) == "sub" else 1
    if len(node.args) != 2 or node.kwargs:
        return None
    windows = []
    for factor, argument in zip((1, sign), node.args, strict=True):
        if not isinstance(argument, Node) or argument not in batch.changes:
            continue
        if _map(argument) != _map(node):
            return None
        window = batch.changes[argument]
        windows.append(window if factor == 1 else window.with_delta(-window.delta))
    if len(windows) == 1:
        return windows[0]
    left, right = united([window.widened() for window in windows])
    return left.with_delta(left.delta + right.delta) if _fits(node, left) else None


def _mul(batch: Batch, node: Any) -> Window | None:
    """Multiply by a scalar."""
    factor, other = node.args if node.args[0] in batch.changes else reversed(node.args)
    window = batch.changes[factor]
    if isinstance(other, (int, float)):
        return window.with_delta(window.delta * other)
    if other in batch.golden.fixed and batch.golden.fixed[other].ndim == 0:
        return window.with_delta(window.delta * batch.golden.fixed[other])
    return None


def _conv(batch: Batch, node: Any) -> Window | None:
    window, weight = batch.changes[node.args[0]], batch.golden.fixed.get(node.args[1])
    if weight is None or isinstance(_argument(node, 4, "padding", 0), str):
        return None
    stride, padding = _pair(_argument(node, 3, "stride", 1)), _pair(_argument(node, 4, "padding", 0))
    dilation, groups = _pair(_argument(node, 5, "dilation", 1)), _argument(node, 6, "groups", 1)
    reach = reach_through(window, tuple(weight.shape[2:]), stride, padding, dilation)
    depthwise = groups == window.map[0] == weight.shape[0]
    if not _fits(node, reach.out, depthwise=depthwise):
        return None
    if window.channel_K is not None and groups > 1 and not depthwise:
        window = window.widened()
    seen = reach.source(window)
    channel_K = None
    if window.channel_K is None:
        delta = functional.conv2d(seen, weight, None, stride, 0, dilation, groups)
    else:
        patches_KPL = functional.unfold(seen, weight.shape[2:], dilation, 0, stride)
        if depthwise:
            channel_K = window.channel_K
            kernel_KOP = weight[channel_K].flatten(2)
        else:
            kernel_KOP = weight[:, window.channel_K].transpose(0, 1).flatten(2)
        delta_KLO = patches_KPL.transpose(1, 2) @ kernel_KOP.transpose(1, 2)
        delta = delta_KLO.unflatten(1, (reach.out.height, reach.out.width)).permute(0, 3, 1, 2)
    return _placed(node, delta, reach.out, channel_K).clipped()


def _linear(batch: Batch, node: Any) -> Window | None:
    window, weight = batch.changes[node.args[0]], batch.golden.fixed.get(node.args[1])
    if weight is None or _map(node) is None or node.meta["val"].ndim != 2:
        return None
    if window.channel_K is None:
        delta_KO = window.delta.flatten(1) @ weight.T
    else:
        delta_KO = window.delta.flatten(1) * weight.T[window.channel_K]
    return replace(window, delta=delta_KO[:, :, None, None], map=(delta_KO.shape[1], 1, 1), channel_K=None)


def _max_pool(batch: Batch, node: Any) -> Window | None:
    window, kernel = batch.changes[node.args[0]], _pair(node.args[1])
    stride, padding = _pair(_argument(node, 2, "stride", []) or kernel), _pair(_argument(node, 3, "padding", 0))
    dilation = _pair(_argument(node, 4, "dilation", 1))
    reach = reach_through(window, kernel, stride, padding, dilation)
    golden = batch.values(node.args[0], window, reach.read)
    if golden is None or not _fits(node, reach.out):
        return None
    size = (reach.read.height, reach.read.width)
    golden.masked_fill_(outside(window, reach.read.top_K, reach.read.left_K, size), -torch.inf)
    before = functional.max_pool2d(golden, kernel, stride, 0, dilation)
    after = functional.max_pool2d(golden.add_(reach.source(window)), kernel, stride, 0, dilation)
    return _placed(node, after.sub_(before), reach.out, window.channel_K).clipped()


def _avg_pool(batch: Batch, node: Any) -> Window | None:
    window, kernel = batch.changes[node.args[0]], _pair(node.args[1])
    stride, padding = _pair(_argument(node, 2, "stride", []) or kernel), _pair(_argument(node, 3, "padding", 0))
    exact = _argument(node, 5, "count_include_pad", True) or padding == (0, 0)
    if not exact or _argument(node, 4, "ceil_mode", False) or _argument(node, 6, "divisor_override", None):
        return None
    reach = reach_through(window, kernel, stride, padding, (1, 1))
    if not _fits(node, reach.out):
        return None
    delta = functional.avg_pool2d(reach.source(window), kernel, stride)
    return _placed(node, delta, reach.out, window.channel_K).clipped()


def _mean(batch: Batch, node: Any) -> Window | None:
    """Mean over the whole map in any spelling, or adaptive pooling that changes nothing."""
    window = batch.changes[node.args[0]]
    channels, height, width = window.map
    if name_of(node) == "mean":
        if sorted(axis % 4 for axis in node.args[1]) != [2, 3] or node.args[0].meta["val"].ndim != 4:
            return None
    elif _pair(node.args[1]) == (height, width):
        return window
    elif _pair(node.args[1]) != (1, 1):
        return None
    delta = window.delta.sum(dim=(2, 3), keepdim=True) / (height * width)
    zeros_K = torch.zeros_like(window.top_K)
    return Window(delta, zeros_K, zeros_K, (channels, 1, 1), window.channel_K)


def _view(batch: Batch, node: Any) -> Window | None:
    """Flatten maps to vectors."""
    source, window = node.args[0], batch.changes[node.args[0]]
    before, after = source.meta["val"].shape, node.meta["val"].shape
    if tuple(after) == tuple(before):
        return window
    if len(after) != 2 or after[0] != before[0] or _map(source) is None:
        return None
    if window.map[1:] == (1, 1):
        return window
    zeros_K = torch.zeros_like(window.top_K)
    return Window(window.dense().flatten(1)[:, :, None, None], zeros_K, zeros_K, (after[1], 1, 1))


def _cat(batch: Batch, node: Any) -> Window | None:
    if _argument(node, 1, "dim", 0) not in (1, 1 - node.meta["val"].ndim):
        return None
    parts = [(part, part.meta["val"].shape[1]) for part in node.args[0]]
    total, start = sum(width for _, width in parts), 0
    moved = []
    for part, width in parts:
        if part in batch.changes:
            moved.append((start, batch.changes[part]))
        start += width
    start, first = moved[0]
    if len(moved) == 1 and first.channel_K is not None:
        return replace(first, map=(total, *first.map[1:]), channel_K=first.channel_K + start)
    windows = united([window.widened() for _, window in moved])
    first = windows[0]
    if not _fits(node, first):
        return None
    faults, _, h, w = first.delta.shape
    delta = first.delta.new_zeros((faults, h, w, total)).permute(0, 3, 1, 2)
    for (start, _), window in zip(moved, windows, strict=True):
        delta[:, start : start + window.delta.shape[1]] = window.delta
    return replace(first, delta=delta, map=(total, *first.map[1:]))


def _fits(node: Node, place: Place | Window, *, depthwise: bool = False) -> bool:
    """Return whether a window is small enough, relative to this node's map, to be worth propagating."""
    shape = _map(node)
    if shape is None:
        return False
    height, width = place.size if isinstance(place, Window) else (place.height, place.width)
    largest = (LARGEST_SHARE_DEPTHWISE if depthwise else LARGEST_SHARE) * shape[1] * shape[2]
    return shape[1:] == (1, 1) or height * width <= largest


def _placed(node: Node, delta: Tensor, place: Place, channel_K: Tensor | None) -> Window:
    shape = _map(node)
    assert shape is not None
    return Window(delta, place.top_K, place.left_K, shape, channel_K)


RULES: dict[str, Rule] = {
    "conv2d": _conv,
    "linear": _linear,
    BATCH_NORM: _batch_norm,
    "getitem": _item,
    **dict.fromkeys(POINTWISE, _pointwise),
    **dict.fromkeys(("add", "sub"), _add),
    "mul": _mul,
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    **dict.fromkeys(("adaptive_avg_pool2d", "mean"), _mean),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "flatten"), _view),
    **dict.fromkeys(("dropout", "clone", "alias", "detach"), _same),
    "cat": _cat,
}


def rule_of(node: Node) -> Rule | None:
    """Return the rule for a node's operation, or None."""
    return RULES.get(name_of(node))


def takes_changes(node: Node) -> bool:
    """Return whether the node's rule can apply: not to tokens, products of two maps, or clamps to tensors.

    Told from the graph alone: a rule may still return None, as where windows fill the map.
    """
    name = name_of(node)
    if rule_of(node) is None or (isinstance(node.meta["val"], Tensor) and _map(node) is None):
        return False
    if name == "mul":
        return sum(1 for factor in node.args if isinstance(factor, Node) and factor.meta["val"].ndim) < 2
    return name not in POINTWISE or elementwise(node)
