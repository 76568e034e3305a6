"""Computes faulty values: flips bits (the upset), then applies the range limit of the site.

Engines, importance sampling, exhaustive campaigns and saliency all use this. Two flip on their own: `tgr flip`, which
shows a value, and training/stimulated.py, which flips all values of a layer in place with masks drawn from a table.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from tgr_cli.faults.formats import format_of
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.upset import Upset


class Corrupted(NamedTuple):
    """Values after the upset (`raw`) and after the range limit (`seen` by later operations), in the model's dtype."""

    raw: Tensor
    seen: Tensor


@dataclass(frozen=True)
class Corruption:
    """The corruption of values in a campaign with this range limit."""

    limit: RangeLimit

    def struck(self, site: str, before: Tensor, upset: Upset) -> Corrupted:
        """Return the values at one site after the upset, which broadcasts with them; same dtype and device."""
        form = format_of(before.dtype)
        raw = form.decode(upset.applied(form.encode(before)), dtype=before.dtype)
        return Corrupted(raw, self.limit.apply(site, raw))

    def bits_struck(self, site: str, before_F: Tensor, bits_F: Tensor) -> Corrupted:
        """Return the values [F] with one bit of each flipped; raises TgrError for a bit that the format lacks."""
        return self.struck(site, before_F, Upset.of_bits(bits_F, format_of(before_F.dtype)))

    def every_flip(self, site: str, before: Tensor) -> Corrupted:
        """Return every single-bit flip of each value, [..., B]."""
        return self.struck(site, before[..., None], Upset.every_bit(format_of(before.dtype)))
