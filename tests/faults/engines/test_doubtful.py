"""Which outcomes rounding could change."""

import pytest
import torch

from tgr_cli.faults.engines.doubtful import doubtful


@pytest.mark.parametrize(("gap", "again"), [(3e-8, True), (1e-3, False)])
def test_a_tie_of_small_logits_is_doubtful_where_the_golden_ones_were_large(gap: float, again: bool) -> None:
    golden, faulty = torch.tensor([[0.9, -0.6, 0.1]]), torch.tensor([[0.125, 0.125, 0.125 + gap]])
    assert doubtful(golden, faulty, 1.2e-7).tolist() == [again]
