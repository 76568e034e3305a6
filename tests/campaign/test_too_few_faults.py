import numpy as np
import pytest

from tgr_cli.campaign.too_few_faults import warning
from tgr_cli.metrics.summary import FaultColumns, vulnerability_row


def struck(*carrying: int, faults: int = 64) -> FaultColumns:
    """Return faults on distinct images at one site for each number of faults with the same dLoss, the others' is 0."""
    total = faults * len(carrying)
    place_N = np.arange(total)
    return FaultColumns(
        site=np.repeat(np.array([f"conv{number}" for number in range(len(carrying))], object), faults),
        image_id=place_N,
        cluster=place_N,
        stratum=np.zeros(total, np.int64),
        outcome=np.full(total, "benign", object),
        weight=np.ones(total),
        image_excess=np.zeros(total),
        dloss=np.where(place_N % faults < np.repeat(carrying, faults), 1.0, 0.0),
    )


def said(sampling: str, faults: FaultColumns, limit: str = "clamp") -> str:
    facts = {"op": "conv", "neurons": 1, "macs": 1, "per_image": True}
    names = np.unique(faults.site).tolist()
    rows = [vulnerability_row({**facts, "site": name}, faults.at(name)) for name in names]
    return warning({"sampling": sampling, "limit": limit}, rows, faults)


@pytest.mark.parametrize("sampling", ["uniform", "stratified"])
def test_too_few_faults_are_told_with_the_number_that_would_do(sampling: str) -> None:
    """Of 64 faults 4 and 10 carry the mean: 30 would of about 480 and 192 faults."""
    told = said(sampling, struck(4, 40, 10))
    assert f"with --sampling {sampling}, 2 of 3 sites have too few faults" in told
    assert "about 480 faults a site would do, and --sampling importance needs far fewer" in told
    assert "about 200 faults a site" in said(sampling, struck(10))
    assert "use more --injections" in said(sampling, struck(0))


def test_nothing_is_told_where_intervals_hold_or_there_are_none() -> None:
    assert said("uniform", struck(30, 64)) == ""
    assert said("importance", struck(4)) == ""
    assert said("list", struck(4)) == ""
    assert said("uniform", struck(4), limit="none") == ""
