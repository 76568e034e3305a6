"""Propagated windows against the change of the whole map, for random small shapes."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tgr_cli.faults.engines import rules
from tgr_cli.faults.engines.batch import Batch
from tgr_cli.faults.engines.windows import Window, stacked, united

aten = torch.ops.aten


SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3))
MAP = (4, 9, 11)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Draw a window of three faults anywhere on a map, with all channels or one channel each."""
    seed, single, (h, w) = draw(st.integers(0, 99)), draw(st.booleans()), draw(SIZES)
    generator = torch.Generator().manual_seed(seed)
    top_K = torch.tensor(draw(st.lists(st.integers(1 - h, 8), min_size=3, max_size=3)))
    left_K = torch.tensor(draw(st.lists(st.integers(1 - w, 10), min_size=3, max_size=3)))
    delta = torch.randn(3, 1 if single else 4, h, w, generator=generator)
    channel_K = torch.randint(0, 4, (3,), generator=generator) if single else None
    return Window(delta, top_K, left_K, MAP, channel_K).clipped()


def followed(window: Window, golden_KCHW: Tensor, operation: Any, *arguments: Any) -> tuple[Window | None, Tensor]:
    """Return the change by the operation's rule for the window, and by the operation itself for the whole map."""
    graph, fixed = torch.fx.Graph(), {}
    values = [golden_KCHW, *arguments]
    nodes: list[Any] = []
    for place, value in enumerate(values):
        nodes.append(graph.placeholder(f"input{place}") if isinstance(value, Tensor) else value)
        if isinstance(value, Tensor):
            nodes[-1].meta["val"] = value
            fixed[nodes[-1]] = value
    node, golden = graph.call_function(operation, tuple(nodes)), operation(*values)
    node.meta["val"] = golden
    source = nodes[0]
    kept = SimpleNamespace(fixed=fixed, kept={source}, maps=lambda _: golden_KCHW.permute(0, 2, 3, 1).contiguous())
    batch = Batch(kept, torch.arange(3), {source: window})  # type: ignore[arg-type]
    with patch.multiple(rules, LARGEST_SHARE=100.0, LARGEST_SHARE_DEPTHWISE=100.0):
        found = rules.rule_of(node)(batch, node)  # type: ignore[misc]
    return found, operation(golden_KCHW + window.dense(), *arguments) - golden


@settings(max_examples=60, deadline=None, derandomize=True)
@given(windows(), SIZES, SIZES, SIZES, SIZES, st.sampled_from([(1, 6), (2, 6), (4, 4), (4, 8)]), st.integers(0, 9))
def test_a_convolved_window_is_the_convolved_map(
    window: Window,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    channels: tuple[int, int],
    seed: int,
) -> None:
    generator, (groups, out) = torch.Generator().manual_seed(seed), channels
    weight = torch.randn(out, 4 // groups, *kernel, generator=generator)
    golden_KCHW = torch.zeros(3, *MAP)  # so that the dense reference has almost no rounding
    found, dense = followed(
        window, golden_KCHW, aten.conv2d.default, weight, None, list(stride), list(padding), list(dilation), groups
    )
    assert found is not None
    torch.testing.assert_close(found.dense(), dense, rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(windows(), SIZES, SIZES, st.integers(0, 1), st.booleans(), st.sampled_from(["max_pool2d", "avg_pool2d"]))
def test_a_pooled_window_is_the_pooled_map(
    window: Window, kernel: tuple[int, int], stride: tuple[int, int], padding: int, ceil: bool, name: str
) -> None:
    pads = [min(padding, size // 2) for size in kernel]
    golden_KCHW = torch.randn(3, *MAP, generator=torch.Generator().manual_seed(5))
    rest = (1, ceil) if name == "max_pool2d" else (ceil,)
    operation = getattr(aten, name).default
    found, dense = followed(window, golden_KCHW, operation, list(kernel), list(stride), pads, *rest)
    if found is None:
        assert name == "avg_pool2d"
        assert ceil
    else:
        torch.testing.assert_close(found.dense(), dense, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(windows(), st.sampled_from(rules.POINTWISE))
def test_a_pointwise_function_of_a_window_is_that_of_the_map(window: Window, name: str) -> None:
    golden_KCHW = torch.randn(3, *MAP, generator=torch.Generator().manual_seed(5))
    arguments = (-0.5, 0.5) if name == "clamp" else ()
    found, dense = followed(window, golden_KCHW, getattr(aten, name).default, *arguments)
    assert found is not None
    torch.testing.assert_close(found.dense(), dense, rtol=1e-5, atol=1e-6)


def a_window(seed: int, top: list[int], left: list[int], size: tuple[int, int], channels: int = 2) -> Window:
    delta = torch.randn(len(top), channels, *size, generator=torch.Generator().manual_seed(seed))
    return Window(delta, torch.tensor(top), torch.tensor(left), (channels, 6, 7)).clipped()


def by_hand(window: Window) -> Tensor:
    """Return the change of the whole map, written element by element."""
    channels, height, width = window.map
    full = torch.zeros(len(window.top_K), channels, height, width)
    for fault, (top, left) in enumerate(zip(window.top_K.tolist(), window.left_K.tolist(), strict=True)):
        for y in range(window.size[0]):
            for x in range(window.size[1]):
                if 0 <= top + y < height and 0 <= left + x < width:
                    full[fault, :, top + y, left + x] = window.delta[fault, :, y, x]
    return full


def test_a_window_placed_united_or_stacked_is_the_same_change() -> None:
    first, second = a_window(0, [-1, 2, 5], [0, 6, -2], (3, 3)), a_window(1, [0, 3, 4], [-1, 2, 1], (2, 4))
    assert torch.equal(first.dense(), by_hand(first))
    for before, after in zip((first, second), united([first, second]), strict=True):
        assert torch.equal(by_hand(after), by_hand(before))
    left, right = united([first, second])
    assert left.size == right.size
    assert torch.equal(left.top_K, right.top_K)
    assert torch.equal(by_hand(stacked([first, second])), torch.cat([by_hand(first), by_hand(second)]))


def test_a_single_channel_is_the_same_change_with_all_channels() -> None:
    delta = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    channel_K = torch.tensor([1, 0, 1])
    window = Window(delta, torch.tensor([0, 1, 2]), torch.tensor([2, 1, 0]), (2, 6, 7), channel_K)
    wide = window.widened()
    for fault, channel in enumerate(channel_K.tolist()):
        assert torch.equal(wide.delta[fault, channel], delta[fault, 0])
        assert not wide.delta[fault, 1 - channel].any()
    assert window.alive().all()
    assert not window.with_delta(torch.zeros_like(delta)).alive().any()


def test_every_rule_belongs_to_an_operation_that_exists() -> None:
    known = {name for name in rules.RULES if name != "getitem"}
    assert all(hasattr(torch.ops.aten, name) for name in known)
