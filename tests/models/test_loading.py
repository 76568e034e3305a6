import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import CLASSES, toy_net
from toys_artifacts import write_golden

from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.data.transforms import Preprocessing, PreprocessingOptions
from tgr_cli.errors import TgrError
from tgr_cli.models import weights, zoo
from tgr_cli.models.card import ModelCard
from tgr_cli.models.classifier import text_guided
from tgr_cli.models.entry import Pretrained
from tgr_cli.models.loading import LoadedModel, load
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import Reporter

SHOPS = Workspace(Path("runs"), "shops")
OTHER = Preprocessing(resize=10, crop=8, mean=(0.1,), std=(0.2,), channels=1)


class Notes(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def loaded(
    classes: tuple[str, ...] = CLASSES,
    options: PreprocessingOptions | None = None,
    device: str = "cpu",
    reporter: Reporter | None = None,
    **source: object,
) -> LoadedModel:
    return load(
        ModelSource(**{"model": "digits_cnn"} | source),  # type: ignore[arg-type]
        SHOPS,
        classes,
        preprocessing=options or PreprocessingOptions(),
        device=device,
        reporter=reporter or Notes(),
    )


def trained(head: str = "baseline", init: str | None = None, seed: int = 0, variant: str | None = None) -> RunFolder:
    """Write a model into the workspace in the form of `tgr train`."""
    run = SHOPS.run("digits_cnn", head, init, seed, variant)
    if head == "baseline":
        model = zoo.build("digits_cnn", 3, seed=seed)
    else:
        model = text_guided("digits_cnn", torch.eye(3, 16), seed=seed)
    weights.save(model, run.weights)
    card = ModelCard(
        model="digits_cnn",
        head=head,
        init=init,
        num_classes=3,
        embedding_dim=None if head == "baseline" else 16,
        classes=CLASSES,
        preprocessing=OTHER,
        seed=seed,
        fingerprint=weights.fingerprint(model),
        params=weights.parameters(model),
        variant=variant,
    )
    card.write(run.card)
    return run


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


TOYS = {"model": "toys:build_toy", "weights": "none"}
TOY_INPUT = PreprocessingOptions(resize=8, crop=8, mean="0.5", std="0.25")


def test_a_user_s_model_of_one_channel_is_reached_by_one_mean_and_deviation() -> None:
    found = loaded(**TOYS, options=TOY_INPUT)
    assert found.preprocessing == Preprocessing(resize=8, crop=8, mean=(0.5,), std=(0.25,), channels=1)
    assert found.run.name == "toys-build_toy-baseline"


def test_preprocessing_that_nobody_gave_for_a_user_s_model_is_said(tmp_path: Path) -> None:
    code = "from torch import nn\ndef build(num_classes):\n    "
    code += "return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))\n"
    (tmp_path / "any_size.py").write_text(code)
    notes = Notes()
    assert loaded(model="any_size:build", weights="none", reporter=notes).preprocessing.crop == 224
    assert notes.said[1].startswith("the preprocessing of any_size:build is unknown: using resize 256")


def write(name: str, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, name)
    return Path(name)


def nan_weights() -> dict[str, object]:
    model = zoo.build("digits_cnn", 3)
    with torch.no_grad():
        model.conv2.bias[3] = torch.nan
    return {"checkpoint": write("nan.pth", model.state_dict())}


def of_other_weights() -> dict[str, object]:
    run = trained()
    weights.save(zoo.build("digits_cnn", 3, seed=5), run.weights)
    return {}


def guided() -> Path:
    return write("text.pth", text_guided("digits_cnn", torch.eye(3, 16)).state_dict())


def trained_for_others() -> dict[str, object]:
    trained()
    return {"classes": ("dot", "line", "ring")}


BAD: dict[str, tuple[Callable[[], dict[str, object]], str]] = {
    "head": (lambda: {"head": "tekst"}, '--head is "tekst"; use one of baseline, cosine, text. Did you mean "text"?'),
    "init": (lambda: {"init": "x"}, '--init is "x"; use one of random, template, descriptions.'),
    "both": (
        lambda: {"weights": "DEFAULT", "checkpoint": Path("x")},
        "--checkpoint and --weights are both given",
    ),
    "head of weights": (lambda: {"weights": "none", "head": "text"}, "--weights loads a baseline, which has no text"),
    "init of a baseline": (lambda: {"init": "random", "head": "baseline"}, "--init random is given for a baseline"),
    "untrained": (
        lambda: {"head": "text"},
        'runs/shops holds no trained digits_cnn with --head text; run "tgr train --model digits_cnn --head text"',
    ),
    "no pretrained": (lambda: {}, "no library has pretrained weights for this model (--weights DEFAULT)"),
    "classes of the library": (
        lambda: {"model": "resnet18"},
        'the library\'s weights IMAGENET1K_V1 of resnet18 have 1,000 classes, the data set "shops" has 3; '
        'run "tgr train" first, give --checkpoint FILE or --weights none, or name a data set of theirs '
        "(--dataset imagenet, --dataset imagefolder:PATH",
    ),
    "classes of a checkpoint": (
        lambda: {"checkpoint": write("ten.pth", zoo.build("digits_cnn", 10).state_dict())},
        'ten.pth has 10 classes (its fc.weight and fc.bias), the data set "shops" has 3; '
        "name the data set it was trained for (--dataset cifar10, --dataset stl10, --dataset mnist, "
        "--dataset fashion_mnist, --dataset digits, --dataset imagefolder:PATH or parquet:PATH for one of your own), "
        'or train a model for this one with "tgr train"',
    ),
    "classes of a text-guided checkpoint": (
        lambda: {"checkpoint": guided(), "classes": ("a", "b")},
        'text.pth has 3 classes, the data set "shops" has 2',
    ),
    "names of classes": (
        trained_for_others,
        'digits_cnn-baseline was trained with class 1 named "bar", the data set names it "line"',
    ),
    "number of classes of a run": (
        lambda: {"classes": ("a", "b"), "head": trained() and "baseline"},
        "digits_cnn-baseline has 3 classes, the data set has 2; name the data set it was trained for (--dataset image",
    ),
    "another model": (
        lambda: {"checkpoint": write("toy.pth", toy_net().state_dict())},
        "toy.pth does not fit the model: it lacks conv3.weight (and 1 more); it has conv1.weight as float32[4×1×3×3]",
    ),
    "baseline asked of text": (
        lambda: {"checkpoint": guided(), "head": "baseline"},
        "holds a text-guided classifier, where --head baseline asks for none",
    ),
    "text asked of baseline": (
        lambda: {"checkpoint": write("b.pth", zoo.build("digits_cnn", 3).state_dict()), "head": "text"},
        "holds a baseline (no head.weight and logit_scale), where --head text asks for a text-guided",
    ),
    "nan": (nan_weights, "digits_cnn (a checkpoint) has 1 NaN or infinite values in conv2.bias"),
    "other weights": (of_other_weights, "model.safetensors is not the model that"),
    "device": (lambda: {"weights": "none", "device": "gpu"}, '--device "gpu" cannot be used on this machine'),
    "absent device": (lambda: {"weights": "none", "device": "cuda:99"}, '--device "cuda:99" cannot be used'),
    "meta": (lambda: {"weights": "none", "device": "meta"}, '--device "meta" computes nothing'),
    "input of a user's model": (
        lambda: TOYS | {"options": PreprocessingOptions(resize=8, crop=8)},
        "--model toys:build_toy fails on an input of 3×8×8 (",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_model_that_cannot_be_measured_is_refused_in_one_sentence(case: str) -> None:
    make, words = BAD[case]
    with pytest.raises(TgrError) as caught:
        loaded(**make())  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_user_s_model_with_another_number_of_outputs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fixed_outputs.py").write_text("from toys import toy_net\ndef build(): return toy_net(0, 5)\n")
    with pytest.raises(TgrError, match=r"answers one image with \(1, 5\), where logits of shape \(1, 3\) are expected"):
        loaded(model="fixed_outputs:build", weights="none", options=TOY_INPUT)


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


RETURNED = """
import torch
from torch import nn

def net(num_classes=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

def with_weights():
    model = net()
    model.load_state_dict(torch.load("own.pth", weights_only=True))
    return model

def new_head():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 3))
    model[1].load_state_dict(dict(weight=torch.ones(32, 64), bias=torch.zeros(32)))
    return model

instance = net()
class Network(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 3))

def needs(width, num_classes):
    return net()

def seeds_itself():
    torch.manual_seed(5)
    return net()
"""
GREY = PreprocessingOptions(mean="0.5", std="0.5", resize=8, crop=8)


@pytest.fixture
def returned(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("returned.py").write_text(RETURNED, encoding="utf-8")
    torch.save({"1.weight": torch.full((3, 64), 0.5), "1.bias": torch.zeros(3)}, "own.pth")
    monkeypatch.delitem(sys.modules, "returned", raising=False)


@pytest.mark.usefixtures("returned")
@pytest.mark.parametrize("weights_", [None, "none"])
@pytest.mark.parametrize("name", ["with_weights", "instance"])
def test_a_function_that_loads_its_weights_is_taken_as_it_is(name: str, weights_: str | None) -> None:
    notes = Notes()
    found = loaded(model=f"returned:{name}", weights=weights_, options=GREY, reporter=notes)
    assert found.origin == "as its function returns it"
    assert notes.said == [f"returned:{name} is taken with the weights that its function returns"]
    assert name == "instance" or float(found.model[1].weight[0, 0]) == 0.5


@pytest.mark.usefixtures("returned")
def test_weights_are_called_random_only_where_they_are() -> None:
    notes = Notes()
    assert loaded(model="returned:net", weights="none", options=GREY, reporter=notes).origin == "random weights"
    assert "random weights (--weights none)" in notes.said[0]
    with pytest.raises(TgrError, match=r"returned:Network returns a network with random weights \(1.weight, 1.bias"):
        loaded(model="returned:Network", options=GREY)
    notes = Notes()
    loaded(model="returned:new_head", options=GREY, reporter=notes)
    assert "a network in which 2.weight, 2.bias are random" in notes.said[0]
    with pytest.raises(TgrError, match="cannot be called without width; name a function that takes num_classes or"):
        loaded(model="returned:needs", options=GREY)


@pytest.mark.usefixtures("returned")
def test_a_function_that_seeds_torch_is_not_called_trained() -> None:
    notes, before = Notes(), torch.get_rng_state()
    loaded(model="returned:seeds_itself", options=GREY, reporter=notes)
    assert "it seeds torch itself, so whether they are trained or random cannot be told" in notes.said[0]
    assert torch.equal(torch.get_rng_state(), before)
