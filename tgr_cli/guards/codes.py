"""Error-detecting and error-correcting codes of stored words: parity within the word, and SECDED beside it.

SECDED (single error correction, double error detection) is Hamming's code (R. W. Hamming, Error Detecting and Error
Correcting Codes, Bell System Technical Journal 29(2), 1950) with one more parity bit: (13, 8), (22, 16), (39, 32),
(72, 64).
A word's bits take the positions 1, 2, 3, … that are no power of two; check bit j is the parity of the bits at whose
position bit j is set, so that the check bits that differ spell the position of a single error. Parity over all bits
tells one error from two.
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

PART = 16  # bits of a word by which tables are looked up
WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes


def words(values: Tensor) -> Tensor:
    """Return a copy of values as integers of the same bits and shape."""
    return values.detach().clone(memory_format=torch.contiguous_format).view(WORDS[values.element_size()])


def parity(integers: Tensor) -> Tensor:
    """Return 1 where the number of set bits is odd and 0 elsewhere, in the dtype of the integers."""
    return _looked_up(integers, _parity_tables).to(integers.dtype)


def with_parity(values: Tensor) -> Tensor:
    """Return the values with an even number of set bits each, by their lowest mantissa bit."""
    integers = words(values)
    return (integers ^ parity(integers)).view(values.dtype)


def check_bits(width: int) -> int:
    """Return how many bits SECDED stores beside each word.

    >>> [check_bits(width) for width in (8, 16, 32, 64)]
    [5, 6, 7, 8]
    """
    hamming = 1
    while 2**hamming < width + hamming + 1:
        hamming += 1
    return hamming + 1


def secded(integers: Tensor) -> Tensor:
    """Return the check bits of words, uint8 of the same shape: Hamming's from bit 0 on, then the parity of all."""
    return _looked_up(integers, _secded_tables)


def _looked_up(integers: Tensor, tables: Callable[[int], tuple[Tensor, ...]]) -> Tensor:
    """Return a linear code of words: the exclusive or of table entries, one for each 16 bits of the word."""
    width = integers.element_size() * 8
    index = integers.flatten().to(torch.int64 if width == 64 else torch.int32)
    code = torch.zeros(index.shape, dtype=torch.uint8, device=index.device)
    for part, table in enumerate(tables(width)):
        code ^= table.to(index.device).index_select(0, (index >> PART * part) & (len(table) - 1))
    return code.reshape(integers.shape)


def _tables(of_bits: Sequence[int]) -> tuple[Tensor, ...]:
    """Return the tables of a linear code; `of_bits` are the codes of the words with one bit set, from the lowest."""
    tables = []
    for start in range(0, len(of_bits), PART):
        table = torch.zeros(1, dtype=torch.uint8)
        for code in of_bits[start : start + PART]:
            table = torch.cat([table, table ^ code])
        tables.append(table)
    return tuple(tables)


@cache
def _parity_tables(width: int) -> tuple[Tensor, ...]:
    return _tables([1] * width)


@cache
def _secded_tables(width: int) -> tuple[Tensor, ...]:
    top = check_bits(width) - 1
    return _tables([place | ((1 + place.bit_count()) % 2) << top for place in _positions(width)])


@cache
def _positions(width: int) -> tuple[int, ...]:
    """Return the position in the code of each bit of a word, from the lowest bit."""
    return tuple(place for place in range(1, 2 * width) if place & (place - 1))[:width]


def corrected(integers: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
    """Return words with their single errors corrected, and where errors were found that cannot be (bool).

    `code` is what `secded` gave without an error. Two errors in a word are always found, more may not be.
    """
    width = integers.element_size() * 8
    hamming = check_bits(width) - 1
    differing = secded(integers) ^ code
    lost = torch.zeros(integers.shape, dtype=torch.bool, device=integers.device)
    wrong = differing != 0
    if not bool(wrong.any()):
        return integers, lost
    found = differing[wrong].long()
    odd = parity(found.to(torch.int16)) == 1  # the number of errors: every check bit that differs is one of the sum
    flips, known = _repairs(width)
    place = found & ((1 << hamming) - 1)
    single = odd & known.to(found.device)[place]
    repaired = integers.clone()
    repaired[wrong] ^= torch.where(single, flips.to(found.device)[place], 0).to(integers.dtype)
    lost[wrong] = ~single
    return repaired, lost


@cache
def _repairs(width: int) -> tuple[Tensor, Tensor]:
    """Return which bit of a word to flip (as an integer) for each position of a single error, and which there are.

    Nothing is flipped where the error is in a check bit.
    """
    count = 1 << (check_bits(width) - 1)
    flips, known = torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.bool)
    known[[0, *(1 << check for check in range(check_bits(width) - 1))]] = True
    for bit, place in enumerate(_positions(width)):
        known[place] = True
        flips[place] = (1 << bit) - (1 << width if bit == width - 1 else 0)
    return flips, known
