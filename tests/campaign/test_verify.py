"""`tgr inject --verify`: reruns faults of a finished campaign with the reference engine."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from toys import toy_net

from tgr_cli.campaign.verify import verify
from tgr_cli.errors import TgrError
from tgr_cli.faults import units
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto
from tgr_cli.faults.fault_models import Choices, Flip
from tgr_cli.faults.formats import NATIVE
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import uniform
from tgr_cli.metrics.outcomes import agree, with_nulls
from tgr_cli.reporting import SILENT

X_NCHW = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS_N = np.zeros(6, np.int64)
NONE = Corruption(RangeLimit("none", {}))

BITS = Choices(Flip(), NATIVE["float32"])


def finished() -> tuple[Any, Network, Plan, dict[str, Any]]:
    """Return a subject, its network, a plan of 90 faults without a limit, and their results with `auto`."""
    model = toy_net()
    model.conv1.bias.data += 1.5  # for values between 1 and 2, flipping bit 30 gives infinity or NaN
    network = Network.capture(model, (1, 8, 8), batch_size=4)
    subject = SimpleNamespace(
        loaded=SimpleNamespace(model=model),
        images=SimpleNamespace(ids=[f"image{n}" for n in range(6)]),
        load=lambda positions_K: X_NCHW[torch.from_numpy(positions_K)],
        reporter=SILENT,
    )
    faults = uniform.draw(network.sites, np.ones(6, bool), np.full(3, 30), choices=BITS, seed=0)
    columns = units.run(Auto(model, network, NONE), faults, subject.load, LABELS_N)
    return subject, network, faults, with_nulls(columns)


def test_a_right_campaign_is_verified_and_a_wrong_row_is_named() -> None:
    subject, network, faults, columns = finished()
    assert "non_finite" in columns["outcome"].tolist()
    again = {"count": 1000, "seed": 0}
    assert verify(subject, network, NONE, faults, columns, LABELS_N, **again) == 90
    assert verify(subject, network, NONE, faults, columns, LABELS_N, count=5, seed=0) == 5
    assert verify(subject, network, NONE, replace(faults), columns, LABELS_N, count=5, seed=1) == 5

    losses = columns["dloss"].to_numpy(zero_copy_only=False).copy()
    fault = int(np.flatnonzero(np.isfinite(losses) & (faults.site_F == 1))[0])
    losses[fault] += 2e-4 * (1 + losses[fault])
    site, index = faults.sites[1], faults.indices()[fault]
    words = rf"fault {faults.number_F[fault]} at {site.name} \(index \[{', '.join(map(str, index))}\], bit "
    with pytest.raises(TgrError, match=words + r"\d+, image image\d\) is \w+ with dLoss .* through full"):
        verify(subject, network, NONE, faults, columns | {"dloss": losses}, LABELS_N, **again)

    outcome = columns["outcome"].copy()
    outcome[:] = "benign"
    with pytest.raises(TgrError, match=r"is benign with dLoss \S+, but \w+ with dLoss \S+ through full; run the camp"):
        verify(subject, network, NONE, faults, columns | {"outcome": outcome}, LABELS_N, **again)


@pytest.mark.parametrize(
    ("found", "oracle", "same"),
    [
        (("sdc", 2.0), ("sdc", 2.00029), True),  # 1e-4 + 1e-4 × 2.00029 is just above 3e-4
        (("sdc", 2.0), ("sdc", 2.00031), False),
        (("sdc", 2.0), ("benign", 2.0), False),
        (("non_finite", np.nan), ("non_finite", np.nan), True),
        (("sdc", np.nan), ("sdc", 1.0), False),
    ],
)
def test_agreement_is_the_same_outcome_and_nearly_the_same_dloss(
    found: tuple[str, float], oracle: tuple[str, float], same: bool
) -> None:
    assert agree(*found, *oracle) is same
