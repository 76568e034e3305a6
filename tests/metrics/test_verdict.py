import math

import pytest

from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.verdict import gate_on_improvement, on_accuracy, on_factor

NAN = math.nan


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (Estimate(2, 1.0001, 4, 30), "better"),
        (Estimate(2, 1, 4, 30), "not distinguishable"),
        (Estimate(1, 1, 1, 30), "not distinguishable"),
        (Estimate(1 + 1e-9, 1 + 1e-9, 1 + 1e-9, 30), "not distinguishable"),  # the rounding of a paired difference
        (Estimate(1 - 1e-9, 1 - 1e-9, 1 - 1e-9, 30), "not distinguishable"),
        (Estimate(0.5, 0.2, 1, 30), "not distinguishable"),
        (Estimate(0.5, 0.2, 0.9999, 30), "worse"),
        (Estimate(9, 8, 10, 29.9), "rests on too little"),
        (Estimate(9, NAN, NAN, 300), "rests on too little"),
        (Estimate(0, NAN, NAN, 0), "rests on too little"),
        (Estimate(NAN, NAN, NAN, 300), None),
    ],
)
def test_a_factor_is_judged_by_its_whole_interval_if_that_is_reliable(factor, said):
    assert on_factor(factor) == said


@pytest.mark.parametrize(
    ("only_baseline", "only_candidate", "p", "said"),
    [
        (2, 20, 0.0099, "better"),
        (20, 2, 0.0099, "worse"),
        (2, 20, 1 - 0.99, "not distinguishable"),
        (0, 0, 1, "not distinguishable"),
    ],
)
def test_an_accuracy_is_judged_at_99_percent(only_baseline, only_candidate, p, said):
    assert on_accuracy(only_baseline, only_candidate, p) == said


def row(low: float | None, high: float | None, *, reliable: bool = True) -> dict:
    return {"candidate": "net-text", "overall": 2.0, "overall_low": low, "overall_high": high} | {
        "overall_reliable": reliable
    }


@pytest.mark.parametrize(
    ("factor", "verdict", "sentence"),
    [
        (row(1.5, 3), "passed", "net-text's improvement (overall) is 2 (1.5 to 3), within the gate of 1.5"),
        (row(1.4999, 3), "undecided", "an interval that straddles the gate of 1.5"),
        (row(1.1, 1.5), "undecided", "an interval that straddles the gate of 1.5"),
        (row(1.1, 1.4999), "failed", "below the gate of 1.5"),
        (row(1.5, 3, reliable=False), "undecided", "within the gate of 1.5 but resting on too few contributions"),
        (row(1.1, 1.4, reliable=False), "failed", "below the gate of 1.5"),
        (
            row(None, None),
            "undecided",
            "net-text's improvement (overall) has no interval, so the gate of 1.5 is undecided",
        ),
    ],
)
def test_a_gate_judges_the_whole_interval(factor, verdict, sentence):
    found = gate_on_improvement(factor, "overall", 1.5)
    assert found.verdict == verdict
    assert sentence in found.sentence
