"""Codes of stored words: every single error is corrected, every double one is found, parity finds every odd number."""

from collections.abc import Iterable
from itertools import combinations

import pytest
import torch
from torch import Tensor

from tgr_cli.guards import codes
from tgr_cli.guards.encoding import decoded

FORMATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def weights(form: torch.dtype) -> Tensor:
    """Return ordinary values, both zeros, a subnormal and the largest number."""
    special = torch.tensor([0.0, -0.0, torch.finfo(form).smallest_normal / 2, torch.finfo(form).max], dtype=form)
    return torch.cat([torch.randn(4, generator=torch.Generator().manual_seed(0)).to(form), special])


def flipped(words: Tensor, *bits: int) -> Tensor:
    width = words.element_size() * 8
    for bit in bits:
        words = words ^ ((1 << bit) - (1 << width if bit == width - 1 else 0))
    return words


@pytest.mark.parametrize("form", FORMATS)
def test_secded(form: torch.dtype) -> None:
    words = codes.words(weights(form))
    width, stored = words.element_size() * 8, codes.secded(words)

    def decoded(errors: Iterable[tuple[int, ...]]) -> tuple[Tensor, Tensor, Tensor]:
        wrong = torch.stack([flipped(words, *bits) for bits in errors])
        return wrong, *codes.corrected(wrong, stored.expand(wrong.shape))

    _, repaired, lost = decoded([(bit,) for bit in range(width)])
    assert torch.equal(repaired, words.expand(repaired.shape))
    assert not lost.any()
    wrong, repaired, lost = decoded(combinations(range(width), 2))
    assert torch.equal(repaired, wrong)
    assert lost.all()


@pytest.mark.parametrize("form", FORMATS)
def test_an_error_in_a_check_bit_leaves_the_word(form: torch.dtype) -> None:
    words = codes.words(weights(form))
    stored = codes.secded(words)
    for bit in range(codes.check_bits(words.element_size() * 8)):
        repaired, lost = codes.corrected(words, stored ^ (1 << bit))
        assert torch.equal(repaired, words)
        assert not lost.any()


@pytest.mark.parametrize("form", FORMATS)
def test_parity(form: torch.dtype) -> None:
    plain = weights(form)
    kept = codes.words(codes.with_parity(plain))
    assert set((kept ^ codes.words(plain)).tolist()) <= {0, 1}  # the lowest bit at most
    assert [bin(word & ((1 << 64) - 1)).count("1") % 2 for word in codes.words(plain).long().tolist()] == codes.parity(
        codes.words(plain).long()
    ).tolist()
    assert not codes.parity(kept).any()
    for bit in range(kept.element_size() * 8):
        assert codes.parity(flipped(kept, bit)).all()
    assert codes.parity(flipped(kept, 0, 3, 7)).all()
    assert not codes.parity(flipped(kept, 0, 3)).any()


def test_words_of_any_layout() -> None:
    values = torch.randn(3, 4, 5).permute(2, 0, 1)
    assert torch.equal(codes.words(values).view(torch.float32), values)
    assert torch.equal(codes.with_parity(values), codes.with_parity(values.contiguous()))


@pytest.mark.parametrize(
    "form", [torch.float64, torch.float16, torch.float8_e5m2, torch.uint8, torch.uint16, torch.int32]
)
def test_the_median_is_of_the_right_values_in_every_format(form: torch.dtype) -> None:
    tensor = torch.tensor([7, 1, 2, 40, 4, 6, 3]).to(form)
    words = codes.words(tensor)
    check_bits = codes.secded(words)
    words[3] ^= 3
    values, wrong = decoded(words.view(form), check_bits, "secded", median=True)
    assert values.double().tolist() == [7, 1, 2, 3, 4, 6, 3]
    assert wrong.nonzero().flatten().tolist() == [3]
    words.zero_()
    lost, _ = decoded((words ^ 3).view(form), codes.secded(words), "secded", median=True)
    assert not lost.double().any()  # none is right
