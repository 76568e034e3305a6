import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tgr_cli.artifacts.schemas import VULNERABILITY
from tgr_cli.metrics.intervals import Estimate, skewed_interval, wilson
from tgr_cli.metrics.summary import FaultColumns, NetworkEstimates, judge_gate, network, vulnerability_row

NAN = math.nan
SITE = {"site": "conv", "op": "conv", "per_image": True, "neurons": 100, "macs": 900}


def faults(outcomes: str, dloss: list[float], images: str, site: str = "conv", weight: float = 1.0) -> FaultColumns:
    words = {"n": "non_finite", "s": "sdc", "m": "masked", "b": "benign"}
    ids = np.array(images if isinstance(images, list) else list(images), dtype=object)
    return FaultColumns(
        site=np.full(len(outcomes), site, dtype=object),
        image_id=ids,
        cluster=ids,
        stratum=np.zeros(len(outcomes), np.int64),
        outcome=np.array([words[letter] for letter in outcomes], dtype=object),
        weight=np.full(len(outcomes), weight),
        image_excess=np.zeros(len(outcomes)),
        dloss=np.array(dloss, dtype=float),
    )


def joined(*parts: FaultColumns) -> FaultColumns:
    return FaultColumns(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def row(site: str, *, macs=1, per_image=True):
    return {"site": site, "op": "conv", "neurons": 1, "macs": macs, "per_image": per_image}


def test_a_row_by_hand():
    struck = faults("snmbsb", [4.0, NAN, 0.0, 1.0, 4.0, 1.0], "xxyyzz")
    found = vulnerability_row(SITE, struck)
    assert set(found) == set(VULNERABILITY.arrow.names)
    assert {name: found[name] for name in ("faults", "images", "sdc", "non_finite", "masked", "benign")} == {
        "faults": 6,
        "images": 3,
        "sdc": 2,
        "non_finite": 1,
        "masked": 1,
        "benign": 2,
    }
    assert found["sdc_rate"] == pytest.approx(2 / 6)
    assert found["failure_rate"] == pytest.approx(3 / 6)
    assert found["mean_dloss"] == pytest.approx(10 / 5)  # over the five finite outcomes
    assert found["mean_dloss_low"] == 0.0  # the interval's lower limit is negative, dLoss is not
    # Contributions of the finite outcomes: x (4 - 2) / 5, y (0 - 2 + 1 - 2) / 5, z (4 - 2 + 1 - 2) / 5.
    low, high = skewed_interval(2.0, np.array([2, -3, 1]) / 5)
    assert low < 0
    assert found["mean_dloss_high"] == pytest.approx(high)
    assert found["reliable"] is False


def test_thirty_effective_contributions_make_a_row_reliable():
    zeros, images = [0.0] * 100, [str(number) for number in range(130)]
    assert vulnerability_row(SITE, faults("b" * 130, zeros + [2.0] * 30, images))["reliable"] is True
    assert vulnerability_row(SITE, faults("b" * 129, zeros + [2.0] * 29, images[:129]))["reliable"] is False
    assert vulnerability_row(SITE, faults("b" * 130, zeros + [2.0] * 29 + [1e6], images))["reliable"] is False
    alike = vulnerability_row(SITE, faults("b" * 130, zeros + [2.0] * 30, "abcdefghij" * 13))
    assert alike["reliable"] is False  # thirty faults, but only ten images
    one_image = vulnerability_row(SITE, faults("b" * 40, [1.0] * 40, "x" * 40))
    assert one_image["reliable"] is False
    assert one_image["mean_dloss"] == 1.0
    assert one_image["mean_dloss_low"] is one_image["mean_dloss_high"] is None


def test_weights_and_non_finite_outcomes_in_mean_dloss_by_hand():
    """mean(w·d·finite) = (2·1 + 0.5·4 + 1·3) / 4 = 7 / 4, mean(w·non_finite) = 0.5 / 4: (7 / 4) / (7 / 8) = 2.

    First-order errors × 4 · 7 / 8: w·d - 7/4 + 2 (0 - 1/8), and for the non-finite one -7/4 + 2 (1/2 - 1/8).
    """
    struck = faults("bbbn", [1.0, 4.0, 3.0, NAN], "wxyz")
    struck.weight[:] = [2.0, 0.5, 1.0, 0.5]
    found = vulnerability_row(SITE, struck)
    assert found["mean_dloss"] == pytest.approx(2)
    errors = np.array([2 - 2, 2 - 2, 3 - 2, -7 / 4 + 2 * 3 / 8]) / 4 / (7 / 8)
    assert found["mean_dloss_high"] == pytest.approx(skewed_interval(2.0, errors).high)
    struck.weight[3] = 4.0  # the weighted share of non-finite outcomes is 1, so the denominator is 0
    assert vulnerability_row(SITE, struck)["mean_dloss"] is None


def test_faults_are_read_with_the_clusters_and_strata_of_their_campaign():
    table = pa.table(
        {"site": ["a", "a", "b"], "fault": [0, 0, 0], "image_id": ["x", "y", "x"], "bit": [3, 3, 4]}
        | {"outcome": ["sdc"] * 3, "weight": [1.0] * 3, "image_excess": [0.0] * 3, "dloss": [1.0, None, 2.0]}
    )
    plain = FaultColumns.read(table)
    assert (plain.cluster.tolist(), plain.stratum.tolist()) == (["x", "y", "x"], [0, 0, 0])
    assert np.isnan(plain.dloss[1])
    weights = FaultColumns.read(table, clusters="fault", strata="bit")
    assert weights.cluster[0] == weights.cluster[1] != weights.cluster[2]
    assert weights.stratum.tolist() == [3, 3, 4]


def test_a_site_without_a_finite_outcome_has_no_mean_dloss():
    struck = faults("nn", [NAN, NAN], "xy")
    found = vulnerability_row(SITE, struck)
    assert found["mean_dloss"] is None
    assert found["failure_rate"] == 1
    whole = network([row("conv")], struck)
    assert math.isnan(whole.mean_dloss.mean)
    assert whole.failure_rate.mean == 1


def test_network_figures_by_hand():
    """Site a: dLoss 1, 3 (mean 2), table b: 10 (mean 10); MACs 300 and 100."""
    struck = joined(faults("sb", [1.0, 3.0], "xy", "a"), faults("n", [NAN], "x", "b"), faults("b", [10.0], "y", "b"))
    rows = [row("a", macs=300), row("b", macs=100, per_image=False)]
    found = network(rows, struck)
    assert found.mean_dloss.mean == pytest.approx(6)
    assert found.mean_dloss_per_image.mean == pytest.approx(2)
    assert found.v_cnn.mean == pytest.approx(300 * 2 + 100 * 10)
    assert found.v_cnn_share.mean == pytest.approx(0.75 * 2 + 0.25 * 10)
    # Image x: 0.75 (1 - 2) / 2 from site a, nothing from b, whose only finite outcome is on y; y: 0.75 (3 - 2) / 2.
    assert found.v_cnn_share.high == pytest.approx(skewed_interval(4.0, np.array([-0.375, 0.375])).high)
    assert found.v_cnn.high == pytest.approx(400 * found.v_cnn_share.high)
    assert found.sdc_rate.mean == pytest.approx((1 / 2 + 0) / 2)
    assert found.failure_rate.mean == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_sites_count_alike_in_the_network_however_many_faults_they_got():
    few, many = (
        faults("s" * 10, [1.0] * 10, "abcdefghij", "few"),
        faults("b" * 90, [0.0] * 90, "abcdefghij" * 9, "many"),
    )
    found = network([row("few"), row("many")], joined(few, many))
    assert found.sdc_rate.mean == pytest.approx(0.5)
    assert found.mean_dloss.mean == pytest.approx(0.5)


def test_images_shared_by_all_sites_do_not_make_the_network_look_surer_than_they_are():
    """One hard image fails at every site: ten sites say no more about how common such images are than one."""
    one = faults("s" * 5 + "b" * 45, [1.0] * 5 + [0.0] * 45, "".join(letter * 5 for letter in "abcdefghij"))
    sites = [f"s{n}" for n in range(10)]
    whole = joined(*(FaultColumns(**(vars(one) | {"site": np.full(50, name, dtype=object)})) for name in sites))
    alone = vulnerability_row(SITE, one)
    found = network([row(name) for name in sites], whole)
    expected = [alone[f"mean_dloss{end}"] for end in ("", "_low", "_high")]
    assert found.mean_dloss[:3] == pytest.approx(expected)
    assert found.sdc_rate.high == pytest.approx(alone["sdc_rate_high"], rel=0.1)


def gated(failure: tuple[float, float, float], dloss: tuple[float, float, float] = (0, 0, 0)) -> NetworkEstimates:
    rate = Estimate(*failure, 100.0)
    return NetworkEstimates(Estimate(0, 0, 0, 0), rate, Estimate(*dloss, 100.0), *[Estimate(0, 0, 0, 0)] * 3)


@pytest.mark.parametrize(
    ("failure", "dloss", "verdict", "sentence"),
    [
        (
            (0.01, 0.005, 0.02),
            (1, 0.5, 2),
            "passed",
            "rate is 0.01 (0.005 to 0.02), within the gate of 0.02; the network's mean",
        ),
        ((0.03, 0.021, 0.04), (1, 0.5, 2), "failed", "0.03 (0.021 to 0.04), above the gate of 0.02"),
        (
            (0.015, 0.01, 0.021),
            (1, 0.5, 2),
            "undecided",
            "(0.01 to 0.021), an interval that straddles the gate of 0.02",
        ),
        (
            (0.01, 0.005, 0.02),
            (1, 0.5, 3),
            "undecided",
            "mean dLoss is 1 (0.5 to 3), an interval that straddles the gate of 2",
        ),
        ((0.01, 0.005, 0.02), (4, 3, 5), "failed", "mean dLoss is 4 (3 to 5), above the gate of 2"),
        ((0.03, 0.021, 0.04), (1, NAN, NAN), "failed", "mean dLoss has no interval, so the gate of 2 is undecided"),
    ],
)
def test_gates_judge_the_whole_interval(failure, dloss, verdict, sentence):
    found = judge_gate(gated(failure, dloss), max_sdc_rate=0.02, max_dloss=2)
    assert found.verdict == verdict
    assert sentence in found.sentence


def test_a_mean_dloss_that_rests_on_too_little_passes_no_gate():
    figures = gated((0.01, 0, 0.02), (1, 0.5, 1.5))
    figures = replace(figures, mean_dloss=figures.mean_dloss._replace(effective=29.0))
    found = judge_gate(figures, max_dloss=2)
    assert found.verdict == "undecided"
    assert "within the gate of 2 but resting on too few contributions" in found.sentence
    assert judge_gate(gated((0.01, 0, 0.02), (1, 0.5, 1.5)), max_dloss=2).verdict == "passed"


def test_a_gate_that_is_not_set_is_not_judged():
    assert judge_gate(gated((0.01, 0, 0.02), (9, 9, 9)), max_sdc_rate=0.02).verdict == "passed"
    assert judge_gate(gated((0.01, 0, 0.02), (9, 9, 9))) is None


def test_no_failure_in_4096_faults_passes_a_gate_only_as_far_as_wilson_allows():
    struck = faults("b" * 4096, [0.0] * 4096, "".join(chr(97 + n) for n in range(1024)) * 4)
    figures = network([row("conv")], struck)
    high = figures.failure_rate.high
    assert wilson(0, 4096).high <= high < 1.01 * wilson(0, 4096).high
    assert judge_gate(figures, max_sdc_rate=0.002).verdict == "passed"
    assert judge_gate(figures, max_sdc_rate=0.001).verdict == "undecided"
