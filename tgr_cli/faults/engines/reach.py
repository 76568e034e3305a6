"""The receptive field of a window through a kernel: the outputs it changes, and the inputs of those outputs.

Suffixes: K faults. Sizes are in rows and columns of a map.
"""

from dataclasses import dataclass

from torch import Tensor

from tgr_cli.faults.engines.windows import Window


@dataclass(frozen=True)
class Place:
    """The positions of windows on their maps: first row and column of each, and their common size."""

    top_K: Tensor
    left_K: Tensor
    height: int
    width: int


@dataclass(frozen=True)
class Reach:
    """The outputs of a kernel that windows of its input change, and the inputs that these are computed from."""

    read: Place
    out: Place

    def source(self, window: Window) -> Tensor:
        """Return the windows placed into the region of inputs to read, [K, C, read height, read width]."""
        return window.placed(self.read.top_K, self.read.left_K, self.read.height, self.read.width)


def reach_through(
    window: Window,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Reach:
    """Return the reach of windows through a kernel of this size, stride, padding and dilation (rows, columns)."""
    outs, reads = [], []
    for axis, first_K in enumerate((window.top_K, window.left_K)):
        span, step, pad = dilation[axis] * (kernel[axis] - 1), stride[axis], padding[axis]
        size = (window.size[axis] - 1 + span) // step + 1
        out_K = -((span - pad - first_K) // step)  # first output that reads the window's first row
        outs.append((out_K, size))
        reads.append((out_K * step - pad, (size - 1) * step + span + 1))
    (out_top_K, height), (out_left_K, width) = outs
    (top_K, read_height), (left_K, read_width) = reads
    return Reach(Place(top_K, left_K, read_height, read_width), Place(out_top_K, out_left_K, height, width))
