"""Every fault model in every width: what its numbered choices do to a word, and how likely each is."""

import itertools
import math

import numpy as np
import pytest
import torch

from tgr_cli import seeding
from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.fault_models import Choices, FaultModel, fault_model_named
from tgr_cli.faults.formats import NATIVE, Native, format_named
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.sites import Site
from tgr_cli.faults.upset import Upset

SITE = Site("conv", "conv", (4,), macs=1)
FLOAT16, FLOAT32 = NATIVE["float16"], NATIVE["float32"]
WORDS = {8: (0x00, 0xFF, 0x5A), 16: (0x0000, 0xFFFF, 0x3C01), 32: (0x00000000, 0xFFFFFFFF, 0x3F800001)}
FORMS = [NATIVE[name] for name in ("float8_e5m2", "float16", "float32")]


def results(model: FaultModel, form: Native, word: int) -> list[int]:
    """Return the word after each choice of the model, as numbers without sign."""
    choices_V = torch.arange(Choices(model, form).count)
    signed = word - 2**form.width if word >= 2 ** (form.width - 1) else word
    words_V = torch.full((len(choices_V),), signed, dtype=torch.int64).to(form.integer)
    return [each % 2**form.width for each in model.upset(choices_V, form).applied(words_V).tolist()]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_choices_are_all_that_the_model_can_do(form: Native) -> None:
    width, (low, high) = form.width, form.fields["exponent"]
    expected = {
        "flip": lambda word: [word ^ 1 << bit for bit in range(width)],
        "flip:bit=3": lambda word: [word ^ 8],
        "flip:field=exponent": lambda word: [word ^ 1 << bit for bit in range(low, high + 1)],
        "flip:bits=2": lambda word: [word ^ 1 << a ^ 1 << b for a, b in itertools.combinations(range(width), 2)],
        "burst": lambda word: [word ^ 3 << bit for bit in range(width - 1)],
        "burst:length=5": lambda word: [word ^ 31 << bit for bit in range(width - 4)],
        "stuck:at=1": lambda word: [word | 1 << bit for bit in range(width)],
        "stuck:at=0": lambda word: [word & ~(1 << bit) for bit in range(width)],
    }
    for name, after in expected.items():
        for word in WORDS[width]:
            assert results(fault_model_named(name), form, word) == after(word), name


def test_a_random_word_is_every_word_once() -> None:
    random = fault_model_named("random")
    assert results(random, NATIVE["float8_e5m2"], 0x5A) == list(range(256))
    assert sorted(results(random, FLOAT16, 0x5A)) == list(range(2**16))
    highest = torch.tensor([0, 2**31, 2**32 - 1])
    assert random.upset(highest, FLOAT32).flipped.tolist() == [0, -(2**31), -1]
    with pytest.raises(TgrError, match="random, and float64 has words of 64 bits; use one of at most 32"):
        Choices(random, NATIVE["float64"])


def test_values_are_replaced_whatever_the_format() -> None:
    limit = RangeLimit("none", {})
    before_F = torch.tensor([1.0, torch.nan, -3.0])
    zero = Corruption(limit, fault_model_named("zero")).chosen(SITE, torch.arange(3), before_F, torch.zeros(3).long())
    assert zero.seen.tolist() == [0.0, 0.0, 0.0]
    corruption = Corruption(limit, fault_model_named("random-value"), max_abs={"conv": 2.0})
    choices = Choices(corruption.model, FLOAT32)
    ends_F = torch.tensor([0, choices.count // 2, choices.count - 1])
    found_F = corruption.chosen(SITE, torch.arange(3), before_F, ends_F).seen
    step = 4.0 / choices.count
    torch.testing.assert_close(found_F, torch.tensor([-2 + step / 2, step / 2, 2 - step / 2]), rtol=1e-7, atol=0)
    assert fault_model_named("random-value").needs_ranges
    assert not fault_model_named("zero").needs_ranges


def test_the_struck_bit_is_told_where_there_is_one() -> None:
    for name, bits in {
        "flip": [0, 1, 2],
        "flip:bit=7": [7],
        "flip:field=exponent": [10, 11, 12],
        "burst": [0, 1, 2],
        "stuck:at=0": [0, 1, 2],
        "flip:bits=2": [-1, -1, -1],
        "random": [-1, -1, -1],
        "zero": [-1],
    }.items():
        assert Choices(fault_model_named(name), FLOAT16).bits(np.arange(len(bits))).tolist() == bits


def mixture() -> FaultModel:
    from tgr_cli.faults.fault_models.mixture import Mixture

    names = {"flip:bit=2": 0.5, "stuck:at=1": 0.3, "zero": 0.2}
    return Mixture("mixed", tuple(map(fault_model_named, names)), tuple(names.values()))


def test_a_mixture_numbers_the_choices_of_its_models_one_after_another() -> None:
    form, model = NATIVE["float8_e5m2"], mixture()
    assert [(piece.count, piece.probability) for piece in model.pieces(form)] == [(1, 0.5), (8, 0.3), (1, 0.2)]
    assert Choices(model, form).count == 10
    assert model.bits(np.arange(10), form).tolist() == [2, *range(8), -1]
    before_V = torch.full((10,), 1.0, dtype=torch.float8_e5m2)  # 0x3C
    found_V = Corruption(RangeLimit("none", {}), model).chosen(SITE, torch.zeros(10).long(), before_V, torch.arange(10))
    words = [word % 256 for word in form.encode(found_V.raw).tolist()]
    assert words == [0x38, *(0x3C | 1 << bit for bit in range(8)), 0x00]


@pytest.mark.parametrize("model", [fault_model_named("flip"), fault_model_named("random"), mixture()])
def test_drawn_choices_and_candidates_have_the_models_own_distribution(model: FaultModel) -> None:
    choices = Choices(model, NATIVE["float8_e5m2"])
    expected_V = np.concatenate([np.full(p.count, p.probability / p.count) for p in model.pieces(choices.form)])
    words_F4 = seeding.words(1, "test", count=40_000)
    drawn = np.bincount(choices.drawn(words_F4[:, 0], words_F4[:, 1]), minlength=choices.count) / len(words_F4)
    weighed_KV = choices.candidates(1, "conv", np.arange(600))
    weighed = np.bincount(weighed_KV.ravel(), minlength=choices.count) / weighed_KV.size
    for found_V in (drawn, weighed):
        error_V = np.sqrt(expected_V / 38_400)
        assert (abs(found_V - expected_V) <= 5 * error_V).all()


def test_few_equal_choices_are_all_candidates_and_others_differ_between_images() -> None:
    assert Choices(fault_model_named("flip"), FLOAT32).candidates(0, "a", np.arange(3)).tolist() == [list(range(32))]
    choices = Choices(fault_model_named("random"), FLOAT16)
    first, second = choices.candidates(0, "a", np.arange(2)), choices.candidates(0, "a", np.arange(1, 3))
    assert (first[1] == second[0]).all()
    assert (first[0] != first[1]).any()


def test_strata_are_bits() -> None:
    assert Choices(fault_model_named("burst"), FLOAT32).stratified().count == 31
    for name, words in {"flip:bits=2": "has 496", "random": "has 4,294,967,296"}.items():
        with pytest.raises(TgrError, match=f"--sampling stratified needs at most 64 equally likely choices.*{words}"):
            Choices(fault_model_named(name), FLOAT32).stratified()
    with pytest.raises(TgrError, match="divides faults by bit, and flip:bits=2 strikes no single one"):
        Choices(fault_model_named("flip:bits=2"), NATIVE["float8_e5m2"]).stratified()


def test_sets_of_bits_that_cannot_be_numbered_are_refused() -> None:
    assert Choices(fault_model_named("flip:bits=4"), FLOAT32).count == math.comb(32, 4)
    with pytest.raises(TgrError, match=r"float64 has 7,624,512 sets of so many bits"):
        Choices(fault_model_named("flip:bits=5"), NATIVE["float64"])
    for name, words in {
        "flip:bits=17": "float16 has 16 bits; flip at most so many",
        "burst:length=17": "float16 has 16 bits; use a shorter burst",
        "flip:bit=16": "the bits of float16 are 0 to 15",
        "flip:field=value": "the fields of float16 are sign, exponent, mantissa",
    }.items():
        with pytest.raises(TgrError, match=words):
            Choices(fault_model_named(name), FLOAT16)


def test_upsets_are_joined_on_the_device_of_their_words() -> None:
    form = format_named("int8")
    own = torch.tensor([True, False], device="meta")
    flips = Upset.of_bits(torch.tensor([0, 7]), form)
    flips = Upset(flips.kept.to("meta"), flips.flipped.to("meta"))
    values = Upset.put_fraction(torch.zeros(2, dtype=torch.float64, device="meta"), form)
    joined = flips.where(own, values)
    assert joined.fraction is not None
    assert {part.device.type for part in (joined.kept, joined.flipped, joined.fraction)} == {"meta"}
