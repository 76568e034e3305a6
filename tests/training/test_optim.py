"""Optimisers and learning-rate schedules: rates, weight decay, invalid values."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.training.optim import optimiser, schedule
from tgr_cli.training.recipe import Recipe


def rates(recipe: Recipe) -> list[float]:
    optimizer = optimiser(nn.Linear(2, 2), recipe)
    planned = schedule(optimizer, recipe)
    seen = []
    for _ in range(recipe.epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        planned.step()
    return seen


def test_cosine_falls_from_the_rate_to_the_lowest() -> None:
    expected = [0.1 + 0.5 * (1 - 0.1) * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert rates(Recipe(lr=1.0, min_lr=0.1, epochs=4)) == pytest.approx(expected)


def test_step_multiplies_by_gamma_every_step_size_epochs() -> None:
    recipe = Recipe(lr=1.0, schedule="step", step_size=2, gamma=0.5, epochs=5)
    assert rates(recipe) == pytest.approx([1, 1, 0.5, 0.5, 0.25])


def test_warm_up_rises_linearly_from_a_hundredth_and_the_schedule_follows() -> None:
    recipe = Recipe(lr=1.0, schedule="step", step_size=2, gamma=0.5, warmup_epochs=3, epochs=7)
    assert rates(recipe) == pytest.approx([0.01, 0.34, 0.67, 1, 1, 0.5, 0.5])


def test_constant_stays() -> None:
    assert rates(Recipe(lr=0.3, schedule="constant", epochs=3)) == [0.3, 0.3, 0.3]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_decay_leaves_the_logit_scale_alone(name: str) -> None:
    model = toy_net()
    model.logit_scale = nn.Parameter(torch.tensor(2.0))
    kept, shrunk = model.logit_scale.item(), model.fc.weight.clone()
    optimizer = optimiser(model, Recipe(optimizer=name, lr=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert model.logit_scale.item() == kept
    assert torch.allclose(model.fc.weight, shrunk * 0.95)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "sdg"}, '--optimizer is "sdg"; use one of sgd, adamw. Did you mean "sgd"?'),
        ({"schedule": "cosin"}, 'of step, cosine, constant. Did you mean "cosine"?'),
        ({"lr": 0.0}, "--lr is 0; it must be above 0"),
        ({"lr": math.nan}, "--lr is nan; it must be above 0"),
        ({"lr": 1e30}, r"--lr is 1e\+30; it must be above 0 and at most 1000"),
        ({"weight_decay": 1e9}, r"--weight-decay is 1e\+09; it must be from 0 to 1000"),
        ({"clip_grad_norm": 1e7}, r"--clip-grad-norm is 1e\+07; it must be from 0 to 1e6"),
        ({"momentum": 1.0}, r"--momentum is 1; it must be in \[0, 1\)"),
        ({"weight_decay": -1.0}, "--weight-decay is -1; it must be from 0 to 1000"),
        ({"gamma": 0.0}, r"--gamma is 0; it must be in \(0, 1\]"),
        ({"step_size": 0}, "--step-size is 0; it must be 1 or more"),
        ({"mixup": 1e-300}, "--mixup is 1e-300; it must be 0, or from 1e-6 to 1e6"),
        ({"cutmix": math.nan}, "--cutmix is nan; it must be 0, or from 1e-6 to 1e6"),
        ({"warmup_epochs": -1}, "--warmup-epochs is -1; it must be 0 or more"),
        ({"lr": 0.1, "min_lr": 0.2}, r"--min-lr is 0.2; it must be in \[0, --lr\]"),
    ],
)
def test_values_without_meaning_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TgrError, match=message):
        Recipe(**values)


def test_decay_of_weights_spares_norms_biases_and_position_tables() -> None:
    model = nn.ModuleDict({"conv": nn.Conv2d(1, 2, 3), "norm": nn.LayerNorm(4), "bn": nn.BatchNorm2d(2)})
    model.pos_embed = nn.Parameter(torch.zeros(1, 4, 2))
    model["norm"].relative_position_bias_table = nn.Parameter(torch.zeros(9, 3))
    for decay, spared in (("all", 0), ("weights", 7)):
        groups = optimiser(model, Recipe(decay=decay, weight_decay=0.1)).param_groups
        assert groups[0]["weight_decay"] == 0.1
        assert sum(len(group["params"]) for group in groups if group["weight_decay"] == 0) == spared
    assert len(groups[0]["params"]) == 1  # the convolution's weight


def test_parameters_that_need_no_gradient_are_left_out() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert [len(group["params"]) for group in optimiser(model, Recipe()).param_groups] == [1]
