"""Formatting of factors in a comparison."""

import pytest

from tgr_cli.commands.comparison import factor


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (2.0, 1.5, 22.254, "2.00 (1.50 to 22.25)"),
        (1.0, 1.0, 1.0, "1.00 (1.00 to 1.00)"),
        (1.0049, 1.0012, 1.01, "1.005 (1.001 to 1.01)"),  # better: the limit must not read as 1
        (0.0042, 0.00017, 0.12, "0.0042 (0.00017 to 0.12)"),  # must not read as 0
    ],
)
def test_a_factor_does_not_look_like_1_or_0_unless_it_is(value: float, low: float, high: float, shown: str) -> None:
    row = {"overall": value, "overall_low": low, "overall_high": high, "overall_reliable": True}
    assert factor(row, "overall") == shown
