"""The range limit changes faulty values only outside the range."""

import math

import pytest
import torch

from tgr_cli.errors import TgrError
from tgr_cli.faults.limits import RangeLimit

STRUCK = torch.tensor([-9.0, -2.0, 0.5, 2.0, 2.5, math.inf, -math.inf, math.nan])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("clamp", [-2.0, -2.0, 0.5, 2.0, 2.0, 2.0, -2.0, 2.0]),
        ("zero", [0.0, -2.0, 0.5, 2.0, 0.0, 0.0, 0.0, 0.0]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_values_outside_the_range_are_held_and_the_others_kept(
    mode: str, expected: list[float], dtype: torch.dtype
) -> None:
    held = RangeLimit(mode, {"fc": 2.0}).apply("fc", STRUCK.to(dtype))
    assert held.dtype == dtype
    assert held.tolist() == expected


def test_none_keeps_every_value_bit_for_bit() -> None:
    assert torch.equal(RangeLimit("none", {}).apply("fc", STRUCK).view(torch.int32), STRUCK.view(torch.int32))


def test_an_unknown_mode_is_refused_in_a_sentence() -> None:
    with pytest.raises(TgrError, match='--limit is "clip"; use one of clamp, zero, none'):
        RangeLimit("clip", {})
