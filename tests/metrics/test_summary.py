import math

import numpy as np
import pytest

from tgr_cli.artifacts.schemas import VULNERABILITY
from tgr_cli.metrics.intervals import Estimate, clustered_mean, clustered_proportion, wilson
from tgr_cli.metrics.summary import (
    Faults,
    Improvement,
    Network,
    improvement,
    judge_gate,
    last_layer,
    median_dloss,
    network,
    vulnerability_row,
)

NAN = math.nan
SITE = {"site": "conv", "op": "conv", "per_image": True, "neurons": 100, "macs": 900}


def faults(outcomes: str, dloss: list[float], images: str, site: str = "conv", weight: float = 1.0) -> Faults:
    words = {"n": "non_finite", "s": "sdc", "m": "masked", "b": "benign"}
    return Faults(
        site=np.full(len(outcomes), site, dtype=object),
        image_id=np.array(list(images), dtype=object),
        outcome=np.array([words[letter] for letter in outcomes], dtype=object),
        weight=np.full(len(outcomes), weight),
        dloss=np.array(dloss, dtype=float),
    )


def joined(*parts: Faults) -> Faults:
    return Faults(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def row(site: str, dloss: float | None, *, sdc: float = 0.1, op: str = "conv", neurons=1, macs=1, per_image=True):
    return {"site": site, "op": op, "neurons": neurons, "macs": macs, "per_image": per_image} | {
        "mean_dloss": dloss,
        "sdc_rate": sdc,
    }


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
    assert found["mean_dloss_low"] == 0.0  # the t limit is negative, dLoss never is
    finite = struck.where(struck.outcome != "non_finite")
    assert found["mean_dloss_high"] == clustered_mean(finite.dloss, finite.weight, finite.image_id).high
    assert found["reliable"] is False


def test_thirty_effective_contributions_make_a_row_reliable():
    zeros, images = [0.0] * 100, "abcdefghij" * 13
    assert vulnerability_row(SITE, faults("b" * 130, zeros + [2.0] * 30, images))["reliable"] is True
    assert vulnerability_row(SITE, faults("b" * 129, zeros + [2.0] * 29, images[:129]))["reliable"] is False
    assert vulnerability_row(SITE, faults("b" * 130, zeros + [2.0] * 29 + [1e6], images))["reliable"] is False
    one_image = vulnerability_row(SITE, faults("b" * 40, [1.0] * 40, "x" * 40))
    assert one_image["reliable"] is False
    assert one_image["mean_dloss"] == 1.0
    assert one_image["mean_dloss_low"] is one_image["mean_dloss_high"] is None


def test_a_site_without_a_finite_outcome_has_no_mean_dloss():
    struck = faults("nn", [NAN, NAN], "xy")
    found = vulnerability_row(SITE, struck)
    assert found["mean_dloss"] is None
    assert found["failure_rate"] == 1
    whole = network([row("conv", None)], struck)
    assert math.isnan(whole.mean_dloss.mean)
    assert whole.failure_rate.mean == 1


def test_network_figures_by_hand():
    """Site a: dLoss 1, 3 (mean 2), table b: 10 (mean 10); MACs 300 and 100."""
    struck = joined(faults("sb", [1.0, 3.0], "xy", "a"), faults("n", [NAN], "x", "b"), faults("b", [10.0], "y", "b"))
    rows = [row("a", 2.0, macs=300), row("b", 10.0, macs=100, per_image=False)]
    found = network(rows, struck)
    assert found.mean_dloss.mean == pytest.approx(6)
    assert found.mean_dloss_per_image.mean == pytest.approx(2)
    assert found.v_cnn == 300 * 2 + 100 * 10
    assert found.v_cnn_share == pytest.approx(0.75 * 2 + 0.25 * 10)
    assert found.sdc_rate.mean == pytest.approx((1 / 2 + 0) / 2)
    assert found.failure_rate.mean == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_sites_count_alike_in_the_network_however_many_faults_they_got():
    few, many = (
        faults("s" * 10, [1.0] * 10, "abcdefghij", "few"),
        faults("b" * 90, [0.0] * 90, "abcdefghij" * 9, "many"),
    )
    found = network([row("few", 1.0), row("many", 0.0)], joined(few, many))
    assert found.sdc_rate.mean == pytest.approx(0.5)
    assert found.mean_dloss.mean == pytest.approx(0.5)


def test_images_shared_by_all_sites_do_not_make_the_network_look_surer_than_they_are():
    """One hard image fails at every site: ten sites tell no more about how common such images are than one."""
    one = faults("s" * 5 + "b" * 45, [1.0] * 5 + [0.0] * 45, "".join(letter * 5 for letter in "abcdefghij"))
    sites = [f"s{n}" for n in range(10)]
    whole = joined(*(Faults(**(vars(one) | {"site": np.full(50, name, dtype=object)})) for name in sites))
    alone = clustered_mean(one.dloss, one.weight, one.image_id)
    found = network([row(name, 0.1) for name in sites], whole)
    assert found.mean_dloss[:3] == pytest.approx((alone.mean, max(0, alone.low), alone.high))
    rate = clustered_proportion(one.outcome == "sdc", one.weight, one.image_id)
    assert found.sdc_rate.high == pytest.approx(rate.high, rel=0.1)


def gated(failure: tuple[float, float, float], dloss: tuple[float, float, float] = (0, 0, 0)) -> Network:
    rate = Estimate(*failure, 100.0)
    return Network(Estimate(0, 0, 0, 0), rate, Estimate(*dloss, 100.0), Estimate(0, 0, 0, 0), 0.0, 0.0)


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
        ((0.03, 0.021, 0.04), (1, NAN, NAN), "failed", "mean dLoss has no interval to hold against the gate of 2"),
    ],
)
def test_gates_judge_the_whole_interval(failure, dloss, verdict, sentence):
    found = judge_gate(gated(failure, dloss), max_sdc_rate=0.02, max_dloss=2)
    assert found.verdict == verdict
    assert sentence in found.sentence


def test_a_gate_that_is_not_set_is_not_judged():
    assert judge_gate(gated((0.01, 0, 0.02), (9, 9, 9)), max_sdc_rate=0.02).verdict == "passed"
    assert judge_gate(gated((0.01, 0, 0.02), (9, 9, 9))) is None


def test_no_failure_in_4096_faults_passes_a_gate_only_as_far_as_wilson_allows():
    struck = faults("b" * 4096, [0.0] * 4096, "".join(chr(97 + n) for n in range(1024)) * 4)
    figures = network([row("conv", 0.0)], struck)
    high = figures.failure_rate.high
    assert wilson(0, 4096).high <= high < 1.01 * wilson(0, 4096).high
    assert judge_gate(figures, max_sdc_rate=0.002).verdict == "passed"
    assert judge_gate(figures, max_sdc_rate=0.001).verdict == "undecided"


TEXT = [
    row("backbone.conv", 2.0, macs=1000, neurons=400, sdc=0.2),
    row("backbone.fc", 1.0, op="linear", macs=300, neurons=90, sdc=0.0),
    row("backbone.bias", 8.0, op="matmul", macs=10, neurons=9, per_image=False, sdc=0.3),
    row("head", 5.0, op="linear", macs=100, neurons=10, sdc=0.05),
]
BASELINE = [row("conv", 4.0, macs=1000, neurons=400, sdc=0.3), row("fc", 10.0, op="linear", macs=50, sdc=0.5)]


def test_the_last_layer_of_a_text_guided_model_has_two_sites():
    found = last_layer(TEXT, ("head", "backbone.fc"))
    assert found.alone == 5
    assert found.by_neurons == pytest.approx((10 * 5 + 90 * 1) / 100)
    assert found.by_macs == pytest.approx((100 * 5 + 300 * 1) / 400)
    assert all(math.isnan(value) for value in vars(last_layer(TEXT, ())).values())
    assert vars(last_layer(BASELINE, ("fc",))) == {"alone": 10, "by_neurons": 10, "by_macs": 10}


def test_improvement_by_hand():
    assert improvement(BASELINE, TEXT, ("fc",), ("head", "backbone.fc")) == Improvement(
        last_layer=10 / 5,
        last_layer_by_neurons=pytest.approx(10 / 1.4),
        last_layer_by_macs=pytest.approx(10 / 2),
        overall=pytest.approx(7 / 4),
        overall_per_image=pytest.approx(7 / (8 / 3)),
        overall_by_macs=pytest.approx((4000 + 500) / (2000 + 300 + 80 + 500)),
        sdc_last_layer=pytest.approx(0.5 / 0.05),
        sdc_overall=pytest.approx(0.4 / 0.1375),
    )


def test_a_factor_without_a_figure_is_none_at_all():
    harmless = [row("conv", 0.0, sdc=0.0), row("fc", None, sdc=0.0)]
    found = improvement(BASELINE, harmless, ("fc",), ("fc",))
    assert all(math.isnan(value) for value in vars(found).values())


def test_the_median_counts_non_finite_outcomes_as_the_worst():
    assert median_dloss(faults("bbb", [3.0, 1.0, 2.0], "xyz")) == 2
    assert median_dloss(faults("nbb", [NAN, 1.0, 2.0], "xyz")) == 2
    assert math.isnan(median_dloss(faults("nnb", [NAN, NAN, 2.0], "xyz")))
    weighted = faults("bbb", [1.0, 2.0, 3.0], "xyz")
    weighted.weight[:] = [5.0, 1.0, 1.0]
    assert median_dloss(weighted) == 1
