import math
from dataclasses import replace

import numpy as np
import pytest
import scipy

from tgr_cli.metrics.estimates import Draws, medians
from tgr_cli.metrics.improvement import FACTORS, figures, improvement
from tgr_cli.metrics.intervals import skewed_interval
from tgr_cli.metrics.summary import FaultColumns
from tgr_cli.metrics.verdict import on_factor

NAN = math.nan


def row(site: str, *, macs=1, neurons=1, per_image=True) -> dict:
    return {"site": site, "op": "conv", "neurons": neurons, "macs": macs, "per_image": per_image}


def struck(**sites: tuple[list[float], int]) -> FaultColumns:
    """Return faults on images 0, 1, …, with the dLoss of each site; the first of its faults are SDCs."""
    counts = [len(dloss) for dloss, _ in sites.values()]
    total = sum(counts)
    images = np.concatenate([np.arange(count) for count in counts])
    return FaultColumns(
        site=np.repeat(np.array([name.replace("_", ".") for name in sites], object), counts),
        image_id=images,
        cluster=images,
        stratum=np.zeros(total, np.int64),
        outcome=np.concatenate([np.where(np.arange(len(d)) < hits, "sdc", "benign") for d, hits in sites.values()]),
        weight=np.ones(total),
        image_excess=np.zeros(total),
        dloss=np.concatenate([dloss for dloss, _ in sites.values()]),
    )


BASELINE = ([row("conv", macs=1000, neurons=400), row("fc", macs=50)], struck(conv=([4.0] * 4, 3), fc=([10.0] * 4, 4)))
TEXT = (
    [
        row("backbone.conv", macs=1000, neurons=400),
        row("backbone.fc", macs=300, neurons=90),
        row("backbone.bias", macs=10, neurons=9, per_image=False),
        row("head", macs=100, neurons=10),
    ],
    struck(backbone_conv=([2.0] * 4, 2), backbone_fc=([1.0] * 4, 0), backbone_bias=([8.0] * 4, 2), head=([5.0] * 4, 1)),
)


def test_improvement_by_hand():
    found = improvement(figures(*BASELINE, ["fc"]), figures(*TEXT, ["head", "backbone.fc"]))
    assert {name: factor.mean for name, factor in found.items()} == pytest.approx(
        {
            "last_layer": 10 / 5,
            "last_layer_by_neurons": 10 / ((10 * 5 + 90 * 1) / 100),
            "last_layer_by_macs": 10 / ((100 * 5 + 300 * 1) / 400),
            "overall": 7 / 4,
            "overall_per_image": 7 / (8 / 3),
            "overall_by_macs": (4000 + 500) / (2000 + 300 + 80 + 500),
            "median_last_layer": 10 / 5,
            "median_overall": 7 / 4,
            "sdc_last_layer": 1 / 0.25,
            "sdc_overall": (7 / 8) / (5 / 16),
        }
    )
    assert tuple(found) == FACTORS


def test_a_factor_without_a_figure_is_none_at_all():
    harmless = ([row("conv"), row("fc")], struck(conv=([0.0] * 4, 0), fc=([NAN] * 4, 0)))
    harmless[1].outcome[4:] = "non_finite"
    found = improvement(figures(*BASELINE, ["fc"]), figures(*harmless, ["fc"]))
    assert all(math.isnan(value) for factor in found.values() for value in factor[:3])
    assert not any(factor.reliable for factor in found.values())
    unknown = improvement(figures(*BASELINE, []), figures(*BASELINE, ["fc", "missing"]))
    assert {name for name, factor in unknown.items() if not math.isnan(factor.mean)} == {
        *("overall", "overall_per_image", "overall_by_macs", "median_overall", "sdc_overall")
    }


def test_images_that_both_runs_struck_are_paired():
    """On every image the candidate's loss is half the baseline's, so the factor is 2 without error."""
    sizes = list(np.random.default_rng(3).exponential(size=40))
    rows = [row("fc")]
    before, after = struck(fc=(sizes, 20)), struck(fc=([size / 2 for size in sizes], 20))
    paired = improvement(figures(rows, before, ["fc"]), figures(rows, after, ["fc"]))["overall"]
    assert paired[:3] == pytest.approx((2, 2, 2))
    elsewhere = replace(after, cluster=after.cluster + 1000)
    apart = improvement(figures(rows, before, ["fc"]), figures(rows, elsewhere, ["fc"]))["overall"]
    mean = np.mean(sizes)
    errors = (np.array(sizes) - mean) / 40 / mean
    low, high = skewed_interval(math.log(2), np.concatenate([errors, -errors]))
    assert apart[:3] == pytest.approx((2, math.exp(low), math.exp(high)))
    assert paired.effective == apart.effective == pytest.approx(sum(sizes) ** 2 / sum(size**2 for size in sizes))


def test_a_factor_is_as_reliable_as_its_weaker_side():
    rows, images = [row("fc")], 40
    sound, thin = struck(fc=([1.0] * images, 35)), struck(fc=([1.0] * images, 5))
    found = improvement(figures(rows, sound, ["fc"]), figures(rows, thin, ["fc"]))
    assert found["overall"].reliable
    assert not found["sdc_overall"].reliable
    assert found["sdc_overall"].effective == pytest.approx(5)


def campaign(random: np.random.Generator, hardness_N: np.ndarray, scale: float) -> FaultColumns:
    """Return 600 faults at each of two sites; dLoss and SDC probability are proportional to the image's hardness.

    The mean dLoss is `scale` × the mean hardness, the SDC rate a tenth of that.
    """
    image_N = random.integers(0, len(hardness_N), 1200)
    size_N = scale * hardness_N[image_N]
    return FaultColumns(
        site=np.repeat(np.array(["conv", "fc"], object), 600),
        image_id=image_N,
        cluster=image_N,
        stratum=np.zeros(1200, np.int64),
        outcome=np.where(random.random(1200) < 0.1 * size_N, "sdc", "benign"),
        weight=np.ones(1200),
        image_excess=np.zeros(1200),
        dloss=size_N * random.exponential(size=1200),
    )


@pytest.mark.parametrize("true", [1.0, 2.0])
def test_a_known_factor_is_held_at_the_nominal_rate_and_equal_models_are_not_told_apart(true):
    """Coverage of 99 % intervals in 200 pairs of campaigns, with a binomial bound of probability 1/1,000."""
    random, held, said = np.random.default_rng(7), dict.fromkeys(("overall", "sdc_overall"), 0), []
    rows, least = [row("conv"), row("fc")], scipy.stats.binom.ppf(0.001, 200, 0.99)
    for _ in range(200):
        hardness_N = random.gamma(2, 0.5, 150)  # new images in each campaign
        sides = [figures(rows, campaign(random, hardness_N, scale), ["fc"]) for scale in (1.0, 1 / true)]
        found = improvement(*sides)
        for name in held:
            held[name] += found[name].low <= true <= found[name].high
        said.append(on_factor(found["overall"]))
    assert all(count >= least for count in held.values()), held
    wanted = "not distinguishable" if true == 1 else "better"
    assert said.count(wanted) >= least, said


def drawn(weights: list[float]) -> Draws:
    count = len(weights)
    return Draws(1, np.zeros(count, int), np.zeros(count, int), np.arange(count), np.array(weights))


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [
        ([3.0, 1.0, 2.0], [1, 1, 1], 2),
        ([math.inf, 1.0, 2.0], [1, 1, 1], 2),
        ([math.inf, math.inf, 2.0], [1, 1, 1], NAN),
        ([1.0, 2.0, 3.0], [5, 1, 1], 1),
    ],
)
def test_the_median_counts_non_finite_outcomes_as_the_worst(values, weights, expected):
    assert medians(drawn(weights), np.array(values)).value == pytest.approx([expected], nan_ok=True)


def test_intervals_of_a_median_cover_it():
    """99 % intervals of exp(normal)'s median, 1, cover in >= 97 % of 400 samples of 200 draws, weights 1 or 3."""
    random, held = np.random.default_rng(2), 0
    for _ in range(400):
        weights = random.choice([0.5, 1.5], size=200)
        found = medians(drawn(weights), np.exp(random.normal(size=200))).combined(np.ones(1)).estimate()
        held += found.low <= 1 <= found.high
    assert held >= 0.97 * 400


@pytest.mark.parametrize(("before", "after"), [(1e300, 1e-300), (1e-300, 1e300), (1e250, 1e-50), (1e200, 3.0)])
def test_factors_beyond_any_float_are_no_estimate_and_others_stay(before: float, after: float) -> None:
    """In a float64 model without a limit some faults change the loss by 1e300 and others by almost nothing."""
    sizes, rows = np.array([1.0, 2.0, 0.5, 1.5] * 5), [row("fc")]
    one, other, plain = (struck(fc=(list(sizes * size), 20)) for size in (before, after, 1.0))
    factor = improvement(figures(rows, one, ["fc"]), figures(rows, other, ["fc"]))["overall"]
    alike = improvement(figures(rows, plain, ["fc"]), figures(rows, plain, ["fc"]))["overall"]
    if before / after == math.inf:
        assert all(math.isnan(value) for value in factor[:3])
        assert not factor.reliable
    else:
        assert factor[:3] == pytest.approx([value * (before / after) for value in alike[:3]])
        assert factor.effective == pytest.approx(alike.effective)


def test_an_interval_that_ends_beyond_any_float_is_none() -> None:
    rows = [row("fc")]
    one, other = struck(fc=([1e290, 1.0, 1.0, 1.0], 4)), struck(fc=([0.0, 1e-16, 0.0, 0.0], 4))
    factor = improvement(figures(rows, one, ["fc"]), figures(rows, other, ["fc"]))["overall"]
    assert factor.mean == pytest.approx(1e306)
    assert math.isnan(factor.low)
    assert math.isnan(factor.high)
