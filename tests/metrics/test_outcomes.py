import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.errors import TgrError
from tgr_cli.metrics.outcomes import cross_entropy, judge, predictions, with_nulls

NAN, INF = math.nan, math.inf
GOLDEN = torch.tensor([2.0, 1.0, 0.0])


def judged(*faulty: list[float], label: int = 0):
    faulty_NC = torch.tensor(faulty)
    return judge(GOLDEN.expand_as(faulty_NC), faulty_NC, torch.full((len(faulty),), label))


def test_ties_go_to_the_lowest_index_and_nan_never_wins():
    logits = torch.tensor([[1.0, 3, 3], [NAN, 1, 2], [NAN, NAN, NAN], [0, 0, 0], [-INF, -5, NAN]])
    assert predictions(logits).tolist() == [1, 2, 0, 0, 1]
    assert predictions(logits.to(torch.bfloat16)).tolist() == [1, 2, 0, 0, 1]
    wide = torch.zeros(1, 5000)
    wide[0, [17, 4999]] = 1
    assert predictions(wide).tolist() == [17]


def test_each_outcome_is_decided_in_the_stated_order():
    faults = {
        "a NaN that argmax would take for the highest": ([2.0, NAN, 0], "non_finite"),
        "an infinite logit, though the prediction changes too": ([2.0, INF, 0], "non_finite"),
        "an infinite logit at the prediction itself": ([INF, 1, 0], "non_finite"),
        "another class ahead": ([0.5, 1, 0], "sdc"),
        "a tie that the lower index wins": ([2.0, 2, 0], "benign"),
        "a tie that the lower index wins from the golden class": ([2.0, 1, 0], "masked"),
        "a change of exactly half the bound": ([2.0 + 1e-5, 1, 0], "masked"),
        "a change of twice the bound": ([2.0, 1, 4e-5], "benign"),
    }
    found = judged(*(row for row, _ in faults.values())).outcome.tolist()
    assert dict(zip(faults, found, strict=True)) == {why: outcome for why, (_, outcome) in faults.items()}


def test_a_changed_prediction_is_an_sdc_even_where_the_change_is_below_the_masked_bound():
    golden = torch.tensor([[1.0, 1.0 - 1e-6]], dtype=torch.float64)
    result = judge(golden, golden.flip(1), torch.tensor([0]))
    assert result.outcome.tolist() == ["sdc"]
    assert result.faulty_label.tolist() == [1]


def test_losses_are_those_of_the_label_not_of_the_prediction():
    result = judged([1.0, 1.0, 1.0], label=1)
    golden_loss = math.log(math.e**2 + math.e + 1) - 1  # by hand: logsumexp(2, 1, 0) - 1
    assert result.golden_loss[0] == pytest.approx(golden_loss, abs=1e-15)
    assert result.faulty_loss[0] == pytest.approx(math.log(3), abs=1e-15)
    assert result.dloss[0] == pytest.approx(golden_loss - math.log(3), abs=1e-15)
    assert result.golden_label[0] == 0
    assert result.golden_top2diff[0] == pytest.approx((math.e**2 - math.e) / (math.e**2 + math.e + 1), abs=1e-15)
    assert result.faulty_top2diff[0] == 0
    assert result.golden_top1[0] == pytest.approx(math.e**2 / (math.e**2 + math.e + 1), abs=1e-15)
    assert result.faulty_top1[0] == pytest.approx(1 / 3, abs=1e-15)


def test_losses_are_taken_in_float64():
    """In float32 the loss of a confident prediction is exactly 0; it is log(1 + e^-20) = 2.061e-9."""
    loss = cross_entropy(torch.tensor([[20.0, 0.0]]), torch.tensor([0]))
    assert loss.dtype == np.float64
    assert loss[0] == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)


def test_columns_fit_the_schema_with_nulls_exactly_where_the_outcome_is_non_finite():
    columns = with_nulls(judged([2.0, NAN, 0], [0.5, 1, 0]).columns())
    table = pa.table(columns, schema=pa.schema([INJECTIONS.arrow.field(name) for name in columns]))
    first, second = table.to_pylist()
    assert {name for name, value in first.items() if value is None} == {
        "faulty_label",
        "faulty_loss",
        "dloss",
        "faulty_top1",
        "faulty_top2diff",
    }
    assert None not in second.values()


def test_nothing_is_judged_against_golden_logits_that_are_not_finite():
    golden = torch.tensor([[1.0, 0], [NAN, 0], [INF, 0]])
    with pytest.raises(TgrError, match=r"gives 2 of 3 images logits that are not finite without any fault"):
        judge(golden, golden, torch.tensor([0, 0, 0]))
