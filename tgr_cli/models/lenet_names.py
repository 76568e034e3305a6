"""The LeNets of the zoo by name: depth, input and width. Does not import torch."""

from dataclasses import dataclass
from itertools import product

WIDTHS = {"": 1.0, "_half": 0.5, "_double": 2.0}
INPUTS = {"": (32, 1), "_28": (28, 1), "_rgb": (32, 3), "_28_rgb": (28, 3)}  # (side in pixels, channels)


@dataclass(frozen=True, kw_only=True)
class LeNetForm:
    """One LeNet: `wide` is the network with a third convolution; every hidden layer has `width` times its neurons."""

    wide: bool
    side: int
    channels: int
    width: float


def _forms() -> dict[str, LeNetForm]:
    """Return all LeNets, named lenet5[_wide][_28][_rgb][_half|_double]."""
    return {
        f"lenet5{depth}{of_input}{of_width}": LeNetForm(wide=bool(depth), side=side, channels=channels, width=width)
        for depth, (of_input, (side, channels)), (of_width, width) in product(
            ("", "_wide"), INPUTS.items(), WIDTHS.items()
        )
    }


LENETS = _forms()
