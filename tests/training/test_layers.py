"""Frozen parts stay unchanged: weights, gradients and batch norm's statistics."""

import pytest
import torch
from torch import nn
from toys import toy_net

from tgr_cli.errors import TgrError
from tgr_cli.models import zoo
from tgr_cli.models.classifier import text_guided
from tgr_cli.training.layers import freeze
from tgr_cli.training.optim import optimiser
from tgr_cli.training.recipe import Recipe


def step(model: nn.Module, frozen: tuple[str, ...]) -> set[str]:
    """Take one training step on random images and return the names of the changed parameters and buffers."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    for name in frozen:
        model.get_submodule(name).eval()
    optimizer = optimiser(model, Recipe(lr=0.1, weight_decay=0.1))
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    nn.functional.cross_entropy(model(x), torch.arange(8) % 4).backward()
    optimizer.step()
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def guided() -> nn.Module:
    return text_guided("resnet20", torch.randn(4, 16, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(("build", "head"), [(guided, {"head.weight"}), (None, {"linear.weight", "linear.bias"})])
def test_a_frozen_head_stays(build: object, head: set[str]) -> None:
    model = guided() if build else zoo.build("resnet20", 4)
    moved = step(model, freeze(model, head=True, backbone=False))
    names = dict(model.named_parameters())
    assert set(names) - moved == head
    assert {name for name, parameter in names.items() if parameter.grad is None} == head


@pytest.mark.parametrize(
    ("build", "learnt"), [(guided, {"head.weight", "logit_scale"}), (None, {"linear.weight", "linear.bias"})]
)
def test_a_frozen_backbone_stays_with_its_statistics(build: object, learnt: set[str]) -> None:
    model = guided() if build else zoo.build("resnet20", 4)
    frozen = freeze(model, head=False, backbone=True)
    assert step(model, frozen) == learnt  # running means and batch counters are unchanged too
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == learnt


def test_nothing_frozen_everything_moves() -> None:
    model = guided()
    assert step(model, freeze(model, head=False, backbone=False)) >= set(dict(model.named_parameters()))


def test_a_training_without_anything_to_train_is_refused() -> None:
    with pytest.raises(TgrError, match="--freeze-head and --freeze-backbone leave nothing to train"):
        freeze(toy_net(), head=True, backbone=True)
