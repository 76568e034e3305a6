"""How much rounding moves a network's logits, as measured at some of its sites."""

from collections.abc import Mapping
from dataclasses import dataclass

MARGIN = 4.0  # over the largest of the measured faults, for all others (benchmarks/rounding_share.py)


@dataclass(frozen=True)
class Rounding:
    """The largest effect on the logits of the faults measured at some sites, relative to the image's largest logit.

    `moved` has it by the site's place among those of the network, in order of execution; sites whose faults left the
    logits as they are tell nothing, and are not in it. The more operations follow a site, the more rounding adds up.
    `least` is the smallest effect that is reckoned with.
    """

    moved: Mapping[int, float]
    least: float

    def at(self, place: int) -> float:
        """Return a bound for faults at a site: from the nearest measured sites before and after it.

        It is no smaller than the largest effect anywhere, since branches lie beside one another.
        """
        before = max((other for other in self.moved if other <= place), default=None)
        after = min((other for other in self.moved if other >= place), default=None)
        nearest = [self.moved[other] for other in (before, after) if other is not None]
        return max(MARGIN * max(nearest, default=0.0), max(self.moved.values(), default=0.0), self.least)
