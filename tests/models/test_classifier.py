import math

import pytest
import torch
from torch import nn

from tgr_cli.errors import TgrError
from tgr_cli.models import zoo
from tgr_cli.models.classifier import TextGuidedClassifier, text_guided


def test_logits_are_the_scaled_products_of_the_normalised_embedding() -> None:
    model = TextGuidedClassifier(nn.Flatten(), num_classes=2, embedding_dim=2)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
        logits_12 = model(torch.tensor([[[[3.0, 4.0]]]]))
    # z / ‖z‖ = (0.6, 0.8); exp(ln(1 / 0.07)) = 14.2857
    torch.testing.assert_close(logits_12, torch.tensor([[0.6 / 0.07, (0.36 + 0.64) / 0.07]]))


def test_an_embedding_of_zeros_gives_zero_logits_and_no_nan() -> None:
    model = TextGuidedClassifier(nn.Flatten(), num_classes=3, embedding_dim=2)
    assert torch.equal(model(torch.zeros(1, 1, 1, 2)), torch.zeros(1, 3))


def test_names_are_those_of_the_released_checkpoints() -> None:
    model = text_guided("lenet5", torch.ones(10, 16))
    own = zoo.build("lenet5", 16).state_dict()
    assert list(model.state_dict()) == ["logit_scale", *(f"backbone.{name}" for name in own), "head.weight"]
    assert model.logit_scale.shape == ()
    assert model.logit_scale.item() == pytest.approx(math.log(1 / 0.07))


def test_rows_of_the_head_are_the_normalised_embeddings_and_the_backbone_is_the_seeded_zoo_model() -> None:
    embeddings_CE = torch.tensor([[3.0, 4.0], [0.0, -2.0]], dtype=torch.float64)
    model = text_guided("digits_cnn", embeddings_CE, seed=5)
    torch.testing.assert_close(model.head.weight.data, torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    expected = zoo.build("digits_cnn", 2, seed=5).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.backbone.state_dict().items())


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_an_embedding_without_direction_is_refused_by_its_class(bad: float) -> None:
    with pytest.raises(TgrError, match="the embedding of class 1 is zero or not finite and has no direction"):
        text_guided("digits_cnn", torch.tensor([[1.0, 0.0], [bad, 0.0]]))


@pytest.mark.parametrize("name", ["digits_cnn", "squeezenet1_1"])
def test_it_exports_and_gives_the_same_logits(name: str) -> None:
    model = text_guided(name, torch.randn(3, 8, generator=torch.Generator().manual_seed(0))).eval()
    shape = zoo.default_preprocessing(name).input_shape
    x_BCHW = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    program = torch.export.export(model, (x_BCHW,)).run_decompositions({})
    with torch.no_grad():
        assert torch.equal(program.module()(x_BCHW), model(x_BCHW))
