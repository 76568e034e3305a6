"""The surface: unbiased means over all choices of several kinds of fault, from a few evaluations of each neuron."""

from functools import cache

import numpy as np
import pytest
import torch
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto, FaultBatch, Full
from tgr_cli.faults.fault_models import Choices, FaultModel, fault_model_named
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.sampling import anchors
from tgr_cli.faults.sampling.anchors import FaultKind
from tgr_cli.faults.surface import Anchors, Surface, corruption
from tgr_cli.metrics.outcomes import judge

X_NCHW = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS_N = np.array([0, 1, 2, 0, 1, 2])
MODEL = toy_net()
RANGE = {"conv1": 1.5, "conv2": 1.5, "fc": 1.5}


@cache
def network() -> Network:
    return Network.capture(MODEL, (1, 8, 8), batch_size=4)


def kind(name: str, model: FaultModel | None = None) -> FaultKind:
    form, model = format_named(name), model or fault_model_named("flip")
    scale = {site: form.fit(torch.tensor(-bound), torch.tensor(bound)) for site, bound in RANGE.items()}
    limit = RangeLimit("format", {}) if form.bounded else RangeLimit("clamp", RANGE)
    fitted = {site: each for site, each in scale.items() if each is not None}
    return FaultKind(f"{name}/{model.name}", Corruption(limit, model, form, fitted, RANGE), Choices(model, form))


KINDS = [kind("float32"), kind("bfloat16"), kind("int8"), kind("int8", fault_model_named("zero"))]


def at(site: str, count: int, seed: int = 0) -> Anchors:
    """Return anchors drawn at a site, on the images in their own order."""
    plan = anchors.draw(
        [each for each in network().sites if each.name == site],
        np.ones(6, bool),
        count,
        kinds=KINDS,
        gradients=Gradients(network()),
        load=lambda image_K: X_NCHW[torch.from_numpy(image_K)],
        labels_N=LABELS_N,
        seed=seed,
    )
    engine = Full(MODEL, network(), corruption())
    return Anchors.of(plan, np.arange(6), engine.prepare(X_NCHW), LABELS_N)


def enumerated(of: FaultKind, struck: Anchors) -> tuple[torch.Tensor, torch.Tensor]:
    """Return SDC rate and mean dLoss over all choices at each anchor, every fault run by the reference engine."""
    engine = Full(MODEL, network(), of.corruption)
    golden_NC = engine.prepare(X_NCHW)
    choices, count = of.choices.count, len(struck.rows_A)
    rows_F, elements_F = (value.repeat_interleave(choices) for value in (struck.rows_A, struck.elements_A))
    found = engine.inject(FaultBatch(struck.site, rows_F, elements_F, torch.arange(choices).repeat(count)))
    effect = judge(golden_NC[rows_F], found.logits_FC, torch.from_numpy(LABELS_N[rows_F]))
    sdc_F, dloss_F = torch.from_numpy(effect.outcome == "sdc").double(), torch.from_numpy(effect.dloss)
    return sdc_F.view(count, choices).mean(1), dloss_F.view(count, choices).mean(1)


def surface() -> Surface:
    engine = Auto(MODEL, network(), corruption())
    engine.prepare(X_NCHW)
    return Surface(engine, KINDS, seed=0)


def test_where_logits_are_linear_in_the_value_nothing_is_left_to_correct() -> None:
    struck = at("fc", 18)
    for of, found in zip(KINDS, surface().effects(struck), strict=True):
        sdc_A, dloss_A = enumerated(of, struck)
        torch.testing.assert_close(found.dloss, dloss_A, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.sdc, sdc_A, rtol=0, atol=1e-9)


def test_the_correction_makes_means_unbiased_where_interpolation_errs(monkeypatch: pytest.MonkeyPatch) -> None:
    struck, seeds = at("conv1", 60), 60
    expected = [torch.stack(enumerated(of, struck)) for of in KINDS]
    estimate, found = surface(), []
    curves = estimate._curves(struck)  # the same for every seed, which decides on the corrections only
    monkeypatch.setattr(estimate, "_curves", lambda _: curves)
    for seed in range(seeds):
        estimate.seed = seed
        found.append([torch.stack(effect) for effect in estimate.effects(struck)])
    for number in range(len(KINDS)):
        of_seed_S2 = torch.stack([one[number].mean(dim=1) for one in found])
        error_2 = of_seed_S2.std(dim=0) / seeds**0.5
        assert ((of_seed_S2.mean(dim=0) - expected[number].mean(dim=1)).abs() <= 4 * error_2 + 1e-9).all()
    assert any((one[0] != found[0][0]).any() for one in found[1:]), "nothing was corrected"


def test_anchors_are_drawn_with_weights_whose_mean_is_one() -> None:
    struck = at("conv1", 6000)
    assert abs(float(struck.weight_A.mean()) - 1) < 0.03
    assert np.bincount(struck.image_A).tolist() == [1000] * 6
    assert len(np.unique(struck.number_A)) == 6000
    value_E = struck.elements_A.double() % 7  # any function of the element has its uniform mean
    expected = (torch.arange(struck.site.neurons) % 7).double().mean()
    assert abs(float((struck.weight_A * value_E).mean() - expected)) < 0.15


def test_logits_that_are_not_finite_are_refused() -> None:
    struck = at("fc", 18)
    model, form = fault_model_named("random"), format_named("float16")  # one word of 32 is NaN or infinite
    unlimited = FaultKind("random", Corruption(RangeLimit("none", {}), model, form), Choices(model, form))
    engine = Full(MODEL, network(), corruption())
    engine.prepare(X_NCHW)
    with pytest.raises(TgrError, match=r'a fault at site "fc" leaves a value that is not finite, .*--limit clamp'):
        Surface(engine, [unlimited], seed=0).effects(struck)
