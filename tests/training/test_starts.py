"""Baseline and text-guided models with the same seed differ only in the head."""

import pytest
import torch

from tgr_cli.models import zoo
from tgr_cli.models.classifier import text_guided


@pytest.mark.parametrize(
    ("model", "last"),
    [
        ("digits_cnn", {"fc.weight", "fc.bias"}),
        ("resnet20", {"linear.weight", "linear.bias"}),
        ("squeezenet1_1", {"classifier.1.weight", "classifier.1.bias"}),
        ("resnet18", {"fc.weight", "fc.bias"}),
    ],
)
def test_all_layers_but_the_last_start_equal(model: str, last: set[str]) -> None:
    before = torch.random.get_rng_state()
    baseline = zoo.build(model, 3, seed=5).state_dict()
    guided = text_guided(model, torch.eye(3, 8), seed=5).backbone.state_dict()
    assert baseline.keys() == guided.keys()
    assert {name for name in baseline if baseline[name].shape != guided[name].shape} == last
    assert all(torch.equal(baseline[name], guided[name]) for name in baseline.keys() - last)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_seed_starts_elsewhere() -> None:
    one, other = (text_guided("digits_cnn", torch.eye(3, 8), seed=seed).backbone for seed in (0, 1))
    assert not torch.equal(one.conv1.weight, other.conv1.weight)
