"""All faulty values are computed by one module, and all outcomes judged by one function."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

import tgr_cli
from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.formats import NATIVE
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.sites import Site
from tgr_cli.faults.upset import Upset

SOURCES = {
    str(p.relative_to(Path(tgr_cli.__file__).parent)): p.read_text()
    for p in Path(tgr_cli.__file__).parent.rglob("*.py")
}
MODELS = {f"faults/fault_models/{name}.py" for name in ("burst", "flip", "given", "mixture", "replacement", "stuck")}
CLAMP = Corruption(RangeLimit("clamp", {"conv": 2.0}))
CONV = Site("conv", "conv", (2, 3), macs=1)


@pytest.mark.parametrize(
    ("what", "homes"),
    [
        (r"limit\.apply\(", {"faults/corruption.py"}),
        (r"\bUpset[.(]", {"faults/upset.py", "saliency/weight_faults.py", "steps/flip.py", *MODELS}),
        (
            r"bitwise_xor|\^ self\.|\.view\([^)]*\b(integer|mask\.dtype)\)",
            {"faults/upset.py", "faults/formats/native.py", "faults/formats/stored.py", "training/stimulated.py"},
        ),
        (r"\* MASKED_BOUND\b|MASKED_BOUND \*|OUTCOMES\[", {"metrics/outcomes.py"}),
    ],
)
def test_it_is_done_in_one_place(what: str, homes: set[str]) -> None:
    assert places(what, SOURCES) == homes


def places(what: str, sources: Mapping[str, str]) -> set[str]:
    return {name for name, source in sources.items() if re.search(what, source, re.MULTILINE)}


def test_the_check_of_places_can_fail() -> None:
    assert places(r"\bUpset[.(]", {"a.py": "seen = Upset(mask).applied(x)", "b.py": "Upset"}) == {"a.py"}


def test_a_flip_comes_before_the_range_limit() -> None:
    before_F = torch.tensor([1.0, 1.0, -1.5, 0.5])
    found = CLAMP.chosen(CONV, torch.arange(4), before_F, torch.tensor([30, 31, 22, 0]))
    assert found.raw.tolist() == [torch.inf, -1.0, -1.0, 0.5 + 2**-24]
    assert found.seen.tolist() == [2.0, -1.0, -1.0, 0.5 + 2**-24]


@pytest.mark.parametrize("name", NATIVE)
def test_every_flip_is_each_bit_flipped_alone(name: str) -> None:
    form = NATIVE[name]
    values_KM = torch.arange(6).reshape(2, 3).to(form.dtype)
    found_KMB = form.encode(
        Corruption(RangeLimit("none", {}))
        .every_choice(CONV, torch.arange(6).reshape(2, 3), values_KM, torch.arange(form.width))
        .raw
    )
    assert found_KMB.shape == (2, 3, form.width)
    for bit in range(form.width):
        alone_KM = Upset.of_bits(torch.full((2, 3), bit), form).applied(form.encode(values_KM))
        assert torch.equal(found_KMB[..., bit], alone_KM)
        changed_KM = (alone_KM ^ form.encode(values_KM)).long() & (2**form.width - 1 if form.width < 64 else -1)
        assert (changed_KM == (2**bit if bit < 63 else -(2**63))).all()


def test_bits_that_flip_together_are_limited_once() -> None:
    one = torch.tensor(1.0)
    found = CLAMP.struck("conv", one, Upset.together([30, 31], NATIVE["float32"]))
    assert (found.raw.item(), found.seen.item()) == (-torch.inf, -2.0)


def test_a_bit_that_the_format_lacks_is_refused() -> None:
    with pytest.raises(TgrError, match="bit 16 does not exist in bfloat16; its bits are 0 to 15"):
        CLAMP.chosen(CONV, torch.arange(1), torch.ones(1, dtype=torch.bfloat16), torch.tensor([16]))


@pytest.mark.parametrize("first", ["put", "put_fraction"])
def test_upsets_are_merged_on_the_device_where_they_are(first: str) -> None:
    form = NATIVE["float16"]
    own = torch.zeros(3, dtype=torch.bool, device="meta")
    word = Upset.put(torch.zeros(3, dtype=form.integer, device="meta"))
    value = Upset.put_fraction(torch.zeros(3, dtype=torch.float64, device="meta"), form)
    found = word.where(own, value) if first == "put" else value.where(own, word)
    assert found.fraction is not None
    assert found.fraction.device.type == found.kept.device.type == "meta"
