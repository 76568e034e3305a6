"""The one seam through which every struck value passes: the upset of its bits, then the range limit of its site.

Engines, the draw of faults by importance, exhaustive campaigns and saliency all ask here; nothing else flips or limits.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from tgr_cli.faults.bits import format_of
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.upset import Upset


class Corrupted(NamedTuple):
    """Values after the upset (`raw`), and as the rest of the network sees them (`seen`), in the model's dtype."""

    raw: Tensor
    seen: Tensor


@dataclass(frozen=True)
class Corruption:
    """What becomes of a struck value in a campaign with this range limit."""

    limit: RangeLimit

    def struck(self, site: str, before: Tensor, upset: Upset) -> Corrupted:
        """Return what the upset makes of values at one site; shapes broadcast, dtype and device stay."""
        raw = upset.applied(before)
        return Corrupted(raw, self.limit.apply(site, raw))

    def bits_struck(self, site: str, before_F: Tensor, bits_F: Tensor) -> Corrupted:
        """Return what a flip of one bit of each value makes of it, [F]; raises TgrError for a bit that it lacks."""
        return self.struck(site, before_F, Upset.of_bits(bits_F, format_of(before_F.dtype)))

    def every_flip(self, site: str, before: Tensor) -> Corrupted:
        """Return what a flip of each bit makes of each value, [..., B]."""
        return self.struck(site, before[..., None], Upset.every_bit(format_of(before.dtype)))
