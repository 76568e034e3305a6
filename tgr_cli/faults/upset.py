"""The change that a fault makes to a code word.

Suffixes: F faults, B bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tgr_cli.faults.formats import Format, format_of


@dataclass(frozen=True)
class Upset:
    """A word becomes `(word & kept) ^ flipped`: bits flip, are set, are cleared, or the whole word is replaced.

    Both are integers of the format's dtype for code words, broadcast against the words. Where `fraction` is given and
    not NaN (float64), the value is replaced instead, whatever the format: by that fraction of its site's largest
    absolute value.
    """

    kept: Tensor
    flipped: Tensor
    fraction: Tensor | None = None

    @classmethod
    def flip(cls, mask: Tensor) -> "Upset":
        """Return the upset that flips the set bits of `mask`."""
        return cls(torch.full_like(mask, -1), mask)

    @classmethod
    def clear(cls, mask: Tensor) -> "Upset":
        """Return the upset that makes the set bits of `mask` 0."""
        return cls(~mask, torch.zeros_like(mask))

    @classmethod
    def set(cls, mask: Tensor) -> "Upset":
        """Return the upset that makes the set bits of `mask` 1."""
        return cls(~mask, mask)

    @classmethod
    def put(cls, word: Tensor) -> "Upset":
        """Return the upset that replaces the word by `word`."""
        return cls(torch.zeros_like(word), word)

    @classmethod
    def put_fraction(cls, fraction: Tensor, form: Format) -> "Upset":
        """Return the upset that replaces the value by a fraction, -1 to 1, of its site's largest absolute value."""
        same = torch.zeros(fraction.shape, dtype=form.integer, device=fraction.device)
        return cls(~same, same, fraction)

    @classmethod
    def of_bits(cls, bits_F: Tensor, form: Format) -> "Upset":
        """Return the upset that flips one bit of each word; raises TgrError for a bit that the format lacks."""
        return cls.flip(form.bit_masks(bits_F))

    @classmethod
    def together(cls, bits: Sequence[int], form: Format) -> "Upset":
        """Return the upset that flips several distinct bits of one word at once."""
        assert len(set(bits)) == len(bits), "bits that flip twice"
        return cls.flip(form.bit_masks(torch.tensor(bits, dtype=torch.int64)).sum(dtype=form.integer))

    @classmethod
    def every_bit(cls, form: Format) -> "Upset":
        """Return all single-bit upsets; the masks have shape [B]."""
        return cls.of_bits(torch.arange(form.width), form)

    def applied(self, words: Tensor) -> Tensor:
        """Return the words after the upset, in the same dtype and on the same device."""
        return (words & self.kept.to(words.device)) ^ self.flipped.to(words.device)

    def where(self, own: Tensor, other: "Upset") -> "Upset":
        """Return this upset where `own` is True, elsewhere the `other`; all of one shape."""
        fraction = None
        if self.fraction is not None or other.fraction is not None:
            none = torch.full(own.shape, torch.nan, dtype=torch.float64, device=own.device)
            mine, theirs = (none if each.fraction is None else each.fraction for each in (self, other))
            fraction = torch.where(own, mine, theirs)
        kept, flipped = torch.where(own, self.kept, other.kept), torch.where(own, self.flipped, other.flipped)
        return Upset(kept, flipped, fraction)


def flip(values_F: Tensor, bits_F: Tensor) -> Tensor:
    """Return a copy of `values_F` in which bit `bits_F[i]` of element i is flipped; same dtype and device.

    NaN payloads and the sign of zero are preserved. Raises TgrError for a bit that the format does not have.

    The sign (31) and the highest bit of the exponent (30) of a float32:

    >>> flip(torch.tensor([1.0, 0.5]), torch.tensor([31, 30])).tolist()
    [-1.0, 1.7014118346046923e+38]
    >>> flip(torch.tensor([5], dtype=torch.int8), torch.tensor([1])).tolist()
    [7]
    """
    form = format_of(values_F.dtype)
    words_F = Upset.of_bits(bits_F, form).applied(form.encode(values_F))
    return form.decode(words_F, dtype=values_F.dtype)
