"""Changes as windows: the region of a feature map that a fault has changed, and by how much.

A vector is a 1 × 1 map.

Suffixes: K faults, C channels, H W height and width of the map, h w of the window.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Window:
    """The change of a map for K faults: `delta` [K, C, h, w] at row `top_K`, column `left_K`; 0 elsewhere.

    With `channel_K`, only that channel of each fault's map has changed, and `delta` is [K, 1, h, w]. A window may
    extend beyond the map; `delta` is 0 there. `map` is the map's (C, H, W).
    """

    delta: Tensor
    top_K: Tensor
    left_K: Tensor
    map: tuple[int, int, int]
    channel_K: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Return the window's height and width."""
        return self.delta.shape[2], self.delta.shape[3]

    def with_delta(self, delta: Tensor) -> "Window":
        return replace(self, delta=delta)

    def take(self, rows: Tensor) -> "Window":
        """Return the window for selected faults."""
        channel_K = None if self.channel_K is None else self.channel_K[rows]
        return replace(
            self, delta=self.delta[rows], top_K=self.top_K[rows], left_K=self.left_K[rows], channel_K=channel_K
        )

    def alive(self) -> Tensor:
        """Return for each fault whether any change is left, bool [K]."""
        return self.delta.flatten(1).any(dim=1)

    def placed(self, top_K: Tensor, left_K: Tensor, height: int, width: int) -> Tensor:
        """Return the change within another window of each map, [K, C, height, width]; 0 outside this one."""
        down_K, right_K = self.top_K - top_K, self.left_K - left_K
        if self.size == (height, width) and not (down_K.any() or right_K.any()):
            return self.delta
        faults, _, h, w = self.delta.shape
        inside_Kh, y_Kh = _within(torch.arange(height, device=down_K.device) - down_K[:, None], h)
        inside_Kw, x_Kw = _within(torch.arange(width, device=down_K.device) - right_K[:, None], w)
        places = torch.arange(faults, device=down_K.device)
        seen = read(_rows_last(self.delta), places, y_Kh, x_Kw)
        return seen.masked_fill_(~(inside_Kh[:, :, None] & inside_Kw[:, None, :])[:, None], 0.0)

    def dense(self) -> Tensor:
        """Return the change over the whole map, [K, C, H, W]."""
        zeros_K = torch.zeros_like(self.top_K)
        return self.widened().placed(zeros_K, zeros_K, *self.map[1:])

    def widened(self) -> "Window":
        """Return the same change with `delta` for all channels of the map."""
        if self.channel_K is None:
            return self
        faults, _, h, w = self.delta.shape
        delta = self.delta.new_zeros((faults, h, w, self.map[0])).permute(0, 3, 1, 2)
        delta[torch.arange(faults, device=delta.device), self.channel_K] = self.delta[:, 0]
        return replace(self, delta=delta, channel_K=None)

    def within(self) -> "Window":
        """Return the same change in a window no larger than the map.

        After it, a change of a 1 × 1 map has one number per channel, as the flattened map has.
        """
        top_K, left_K, size = self.top_K, self.left_K, list(self.size)
        if size[0] >= self.map[1]:
            top_K, size[0] = torch.zeros_like(top_K), self.map[1]
        if size[1] >= self.map[2]:
            left_K, size[1] = torch.zeros_like(left_K), self.map[2]
        return replace(self, delta=self.placed(top_K, left_K, size[0], size[1]), top_K=top_K, left_K=left_K)

    def clipped(self) -> "Window":
        """Return the window with the change outside the map set to 0 (in place), no larger than the map."""
        height, width = self.map[1:]
        inside_Kh, _ = _within(self.top_K[:, None] + torch.arange(self.size[0], device=self.top_K.device), height)
        inside_Kw, _ = _within(self.left_K[:, None] + torch.arange(self.size[1], device=self.top_K.device), width)
        if not (inside_Kh.all() and inside_Kw.all()):
            self.delta.masked_fill_(~(inside_Kh[:, :, None] & inside_Kw[:, None, :])[:, None], 0.0)
        return self.within()


def read(maps_NHWC: Tensor, rows_K: Tensor, y_Kh: Tensor, x_Kw: Tensor, channel_K: Tensor | None = None) -> Tensor:
    """Return [K, C, h, w]: the maps `rows_K` at rows `y_Kh` and columns `x_Kw`, or only channel `channel_K`."""
    _, height, width, channels = maps_NHWC.shape
    at_Khw = (rows_K[:, None, None] * height + y_Kh[:, :, None]) * width + x_Kw[:, None, :]
    if channel_K is not None:
        return maps_NHWC.reshape(-1)[at_Khw * channels + channel_K[:, None, None]][:, None]
    values = maps_NHWC.reshape(-1, channels).index_select(0, at_Khw.reshape(-1))
    return values.view(*at_Khw.shape, channels).permute(0, 3, 1, 2)


def read_window(
    maps_NHWC: Tensor, rows_K: Tensor, window: Window, top_K: Tensor, left_K: Tensor, size: tuple[int, int]
) -> Tensor:
    """Return the maps' values in a window at this position; positions outside the map get some value of its edge."""
    _, height, width, _ = maps_NHWC.shape
    _, y_Kh = _within(top_K[:, None] + torch.arange(size[0], device=top_K.device), height)
    _, x_Kw = _within(left_K[:, None] + torch.arange(size[1], device=top_K.device), width)
    return read(maps_NHWC, rows_K, y_Kh, x_Kw, window.channel_K)


def outside(window: Window, top_K: Tensor, left_K: Tensor, size: tuple[int, int]) -> Tensor:
    """Return which elements of a window at this position are outside the map, bool [K, 1, h, w]."""
    inside_Kh, _ = _within(top_K[:, None] + torch.arange(size[0], device=top_K.device), window.map[1])
    inside_Kw, _ = _within(left_K[:, None] + torch.arange(size[1], device=top_K.device), window.map[2])
    return ~(inside_Kh[:, :, None] & inside_Kw[:, None, :])[:, None]


def united(windows: Sequence[Window]) -> list[Window]:
    """Return the windows, of maps of equal height and width, enlarged to their common bounding box."""
    first, *others = windows
    if all(
        other.size == first.size and torch.equal(other.top_K, first.top_K) and torch.equal(other.left_K, first.left_K)
        for other in others
    ):
        return list(windows)
    top_K = torch.stack([window.top_K for window in windows]).amin(dim=0)
    left_K = torch.stack([window.left_K for window in windows]).amin(dim=0)
    height = max(int((window.top_K + window.size[0] - top_K).max()) for window in windows)
    width = max(int((window.left_K + window.size[1] - left_K).max()) for window in windows)
    return [
        replace(window, delta=window.placed(top_K, left_K, height, width), top_K=top_K, left_K=left_K).within()
        for window in windows
    ]


def stacked(windows: Sequence[Window]) -> Window:
    """Return windows of several batches as one, padded to the largest; all must be single-channel, or none."""
    height, width = (max(window.size[axis] for window in windows) for axis in (0, 1))
    deltas = [
        functional.pad(window.delta, (0, width - window.size[1], 0, height - window.size[0])) for window in windows
    ]
    channels = [window.channel_K for window in windows if window.channel_K is not None]
    return Window(
        torch.cat(deltas),
        torch.cat([window.top_K for window in windows]),
        torch.cat([window.left_K for window in windows]),
        windows[0].map,
        torch.cat(channels) if channels else None,
    )


def _within(places: Tensor, bound: int) -> tuple[Tensor, Tensor]:
    """Return which positions are in [0, bound), and the positions clamped to that range."""
    return (places >= 0) & (places < bound), places.clamp(0, bound - 1)


def _rows_last(delta_KChw: Tensor) -> Tensor:
    return delta_KChw.permute(0, 2, 3, 1).contiguous()
