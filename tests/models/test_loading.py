"""Which weights are loaded (trained, a checkpoint, the library's, random), with what settings, into which run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys_artifacts import write_golden
from toys_checkpoints import Notes
from toys_loading import OTHER, SHOPS, loaded, trained

from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.errors import TgrError
from tgr_cli.models import weights, zoo
from tgr_cli.models.classifier import text_guided
from tgr_cli.models.entry import Pretrained


def test_random_weights_are_taken_only_when_asked_for_and_said() -> None:
    notes = Notes()
    found = loaded(weights="none", reporter=notes)
    assert notes.said == ["digits_cnn has random weights (--weights none); its accuracy means nothing"]
    assert found.fingerprint == weights.fingerprint(zoo.build("digits_cnn", 3))
    assert (found.head, found.init, found.num_classes, found.preprocessing) == ("baseline", None, 3, zoo.DIGITS)
    assert found.params == weights.parameters(found.model)
    assert found.run == RunFolder(Path("runs/shops/digits_cnn-baseline"))
    assert not found.model.training
    assert not any(parameter.requires_grad for parameter in found.model.parameters())


def test_a_trained_model_is_found_in_its_run_with_its_own_preprocessing() -> None:
    run = trained("text", "template", seed=4)
    found = loaded()
    assert (found.run, found.head, found.init, found.origin) == (run, "text", "template", "trained by tgr")
    assert found.preprocessing == OTHER
    assert found.model.head.weight.shape == (3, 16)


def test_options_replace_parts_of_the_preprocessing() -> None:
    trained()
    assert loaded(options=PreprocessingOptions(resize=12)).preprocessing == replace(OTHER, resize=12)


def test_several_trained_models_are_told_apart_by_head_init_and_seed() -> None:
    for run in (("baseline",), ("text", "template"), ("text", "descriptions"), ("text", "descriptions", 2)):
        trained(*run)
    names = "digits_cnn-baseline, digits_cnn-text-descriptions, digits_cnn-text-descriptions-s2, digits_cnn-text-tem"
    with pytest.raises(TgrError, match=rf"holds {names}plate; say which with --head, --init, --train-seed or"):
        loaded()
    with pytest.raises(TgrError, match=r"holds digits_cnn-text-descriptions, digits_cnn-text-descriptions-s2; say"):
        loaded(head="text", init="descriptions")
    assert loaded(head="baseline").run.name == "digits_cnn-baseline"
    assert loaded(init="template").run.name == "digits_cnn-text-template"
    assert loaded(head="text", train_seed=2).run.name == "digits_cnn-text-descriptions-s2"
    with pytest.raises(TgrError, match="and none has the --head, --init, --train-seed and --variant given"):
        loaded(head="cosine")


def test_a_variant_is_taken_by_its_name_alone() -> None:
    trained(variant="dropout")
    with pytest.raises(TgrError, match="holds digits_cnn-baseline-dropout, and none has"):
        loaded()
    trained(), trained(variant="lr-0.1"), trained("text", "template", 2, "dropout")
    assert loaded().run.name == "digits_cnn-baseline"
    assert loaded(variant="lr-0.1").run.name == "digits_cnn-baseline-lr-0.1"
    assert loaded(variant="dropout", head="text").run.name == "digits_cnn-text-template-s2-dropout"
    with pytest.raises(TgrError, match=r"holds digits_cnn-baseline-dropout, digits_cnn-text-template-s2-dropout; say"):
        loaded(variant="dropout")
    weights_of = SHOPS.run("digits_cnn", "baseline", variant="dropout").weights
    assert loaded(checkpoint=weights_of).run.name == "digits_cnn-baseline-dropout"
    assert loaded(model="resnet20", weights="none", variant="wide").run.name == "resnet20-baseline-wide"
    with pytest.raises(
        TgrError, match=r"holds no trained resnet18 with --variant wide; run \"tgr train --model resnet18"
    ):
        loaded(model="resnet18", variant="wide")


@pytest.mark.parametrize("head", ["baseline", "text"])
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state, "epoch": 1}])
def test_a_checkpoint_says_by_its_names_which_head_it_has(head: str, wrap: Callable[..., object]) -> None:
    model = text_guided("digits_cnn", torch.eye(3, 16)) if head == "text" else zoo.build("digits_cnn", 3, seed=1)
    torch.save(wrap(model.state_dict()), "model.pth")
    found = loaded(checkpoint=Path("model.pth"))
    assert found.fingerprint == weights.fingerprint(model)
    assert (found.head, found.origin) == (head, "a checkpoint")
    assert found.run.name == f"digits_cnn-{head}"
    assert found.preprocessing == zoo.DIGITS


def test_a_checkpoint_beside_its_card_takes_classes_head_and_preprocessing_from_it() -> None:
    run, notes = trained("cosine", "random", seed=2), Notes()
    found = loaded(checkpoint=run.weights, reporter=notes)
    assert (found.head, found.init, found.preprocessing, found.run) == ("cosine", "random", OTHER, run)
    assert notes.said == [f"classes, head and preprocessing of model.safetensors are those of {run.card}"]


def test_a_checkpoint_beside_the_card_of_other_weights_leaves_it_aside() -> None:
    run, notes = trained(), Notes()
    path = weights.save(zoo.build("digits_cnn", 3, seed=8), run.path / "other.safetensors")
    assert loaded(checkpoint=path, reporter=notes).preprocessing == zoo.DIGITS
    assert notes.said[0] == f"{run.card} describes other weights than other.safetensors, and is left aside"


def test_without_a_trained_model_the_library_s_default_weights_are_taken_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, notes = zoo.build("resnet20", 3, seed=6), Notes()
    prepared = replace(zoo.CIFAR, crop=24)
    offered = Pretrained(tag="IMAGENET1K_V7", num_classes=3, preprocessing=prepared)
    monkeypatch.setattr("tgr_cli.models.from_torchvision.Torchvision.offer", lambda self, tag: offered)
    monkeypatch.setattr("tgr_cli.models.from_torchvision.Torchvision.fetch", lambda self, offered: own)
    found = loaded(model="resnet18", reporter=notes)
    assert found.fingerprint == weights.fingerprint(own)
    assert (found.preprocessing, found.origin) == (prepared, "the library's weights IMAGENET1K_V7")
    assert notes.said == [f"no trained resnet18 in {SHOPS.path}: taking the library's weights IMAGENET1K_V7"]
    assert loaded(model="resnet18", weights="IMAGENET1K_V7").fingerprint == found.fingerprint


def test_other_weights_are_measured_in_a_folder_of_their_own() -> None:
    run = trained()
    notes = Notes()
    random = loaded(weights="none", reporter=notes)  # equal weights: both are seed 0
    assert random.run == run
    torch.save(zoo.build("digits_cnn", 3, seed=1).state_dict(), "other.pt")
    other = loaded(checkpoint=Path("other.pt"), reporter=notes)
    assert other.run.path == run.path.with_name(f"{run.name}-{other.fingerprint[:8]}")
    assert str(other.run.path) in notes.said[-1]
    assert loaded(checkpoint=Path("other.pt")).run == other.run
    assert loaded().run == run


def test_a_folder_without_a_trained_model_is_that_of_the_first_one_measured_there() -> None:
    run = SHOPS.run("digits_cnn", "baseline")
    for seed in (0, 1):
        torch.save(zoo.build("digits_cnn", 3, seed=seed).state_dict(), f"{seed}.pt")
    first = loaded(checkpoint=Path("0.pt"))
    assert first.run == run
    write_golden(run.golden, {"a": 0.5}, run=run.name, model=first.fingerprint)
    assert loaded(checkpoint=Path("0.pt")).run == run
    assert loaded(checkpoint=Path("1.pt")).run != run
    run.golden.write_bytes(b"damaged")
    assert loaded(checkpoint=Path("1.pt")).run == run
