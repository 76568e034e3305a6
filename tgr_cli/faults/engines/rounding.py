"""How much rounding moves a network's logits, as measured at some of its sites.

Suffixes: F faults.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

MARGIN = 4.0  # over the largest of the measured faults, for all others (benchmarks/rounding_share.py)
ELSEWHERE = 2.0  # over the largest of all sites: depth says little where branches lie beside one another


@dataclass(frozen=True)
class Effect:
    """The largest effect on a logit: relative to the largest, with the fault or without it, and of fault-free logits.

    The absolute one counts for images whose logits are small since large values cancel in them.
    """

    relative: float
    absolute: float


@dataclass(frozen=True)
class Rounding:
    """The effect on the logits of the faults measured at some sites.

    `moved` has it by the site's place among those of the network, in order of execution; sites whose faults left the
    logits as they are tell nothing, and are not in it. The more operations follow a site, the more rounding adds up.
    `least` is the smallest relative effect that is reckoned with.
    """

    moved: Mapping[int, Effect]
    least: float

    def at(self, place: int, size_F: Tensor) -> Tensor:
        """Return a bound for each fault at a site, relative to `size_F`, the largest logits of their images.

        It comes from the nearest measured sites before and after this one, and from the largest effect anywhere.
        """
        before = max((other for other in self.moved if other <= place), default=None)
        after = min((other for other in self.moved if other >= place), default=None)
        nearest = [self.moved[other] for other in (before, after) if other is not None]
        here = MARGIN * max((effect.relative for effect in nearest), default=0.0)
        anywhere = ELSEWHERE * max((effect.relative for effect in self.moved.values()), default=0.0)
        absolute = ELSEWHERE * max((effect.absolute for effect in self.moved.values()), default=0.0)
        return (absolute / size_F).clamp_min(max(here, anywhere, self.least))
