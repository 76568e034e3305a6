"""`tgr train`: learning, complete run folders, resuming, and errors."""

import json
import re
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from toys import CLASSES, write_toy_dataset
from typer.testing import CliRunner, Result

from tgr_cli.app import app
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.artifacts.provenance import sha256_file, sha256_names
from tgr_cli.artifacts.schemas import EMBEDDINGS, TRAINING
from tgr_cli.data.preprocessing import PreprocessingOptions
from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError
from tgr_cli.models import weights
from tgr_cli.models.card import ModelCard
from tgr_cli.steps import train as step
from tgr_cli.training.loop import Validation
from tgr_cli.training.recipe import Overrides
from tgr_cli.training.stimulated import Disturbance
from tgr_cli.training.validation import Validator

TOY = ("--model", "toys:build_toy", "--resize", 8, "--crop", 8, "--mean", "0.5", "--std", "0.25")
QUICK = ("--epochs", 3, "--batch-size", 16, "--lr", 0.05)


@pytest.fixture(autouse=True)
def _toy_data() -> None:
    write_toy_dataset(Path("toy"))


def tgr(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, TgrError):
        raise result.exception
    return result


def train(*options: object) -> Result:
    return tgr("train", "--dataset", "parquet:toy", *TOY, *options)


def run_folder(name: str) -> RunFolder:
    return RunFolder(Path("runs/toy") / name)


def write_embeddings(classes: tuple[str, ...] = CLASSES, init: str = "descriptions") -> Path:
    matrix_CE = np.random.default_rng(0).standard_normal((len(classes), 12)).astype(np.float32)
    columns = {
        "class_index": range(len(classes)),
        "class_name": classes,
        "embedding": list(matrix_CE),
        "descriptions": [1] * len(classes),
        "spread": [1.0] * len(classes),
    }
    provenance = store.provenance_for(EMBEDDINGS, classes=sha256_names(classes), extra={"init": init, "dim": 12})
    return store.write(Workspace(Path("runs"), "toy").embeddings(init), EMBEDDINGS, columns, provenance)


@pytest.mark.parametrize("head", ["baseline", "cosine", "text"])
def test_it_learns_and_the_weights_are_those_it_says(head: str) -> None:
    write_embeddings()
    result = train("--head", head, "--epochs", 4, "--batch-size", 10, "--optimizer", "adamw", "--lr", 0.01, "--json")
    rows = json.loads(result.stdout)["training"]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["val_top1"] > 0.9
    assert rows[-1]["train_loss"] < 0.3 * rows[0]["train_loss"]

    run = run_folder({"text": "toys-build_toy-text-descriptions"}.get(head, f"toys-build_toy-{head}"))
    card = ModelCard.read(run.card)
    assert (card.head, card.num_classes, card.classes) == (head, 3, CLASSES)
    assert card.embedding_dim == {"baseline": None, "cosine": 512, "text": 12}[head]
    assert card.preprocessing.input_shape == (1, 8, 8)
    artifact = store.read(run.training, TRAINING)
    assert artifact.table.to_pylist() == rows
    assert artifact.provenance.model == card.fingerprint
    assert artifact.provenance.inputs.keys() == ({"embeddings"} if head == "text" else set())
    assert not run.checkpoint.exists()

    evaluated = json.loads(tgr("evaluate", "--dataset", "parquet:toy", *TOY, "--head", head, "--json").stdout)
    assert evaluated["origin"] == "trained by tgr"
    assert evaluated["top1"] == rows[-1]["val_top1"]
    assert evaluated["loss"] == pytest.approx(rows[-1]["val_loss"], rel=1e-5)


def test_the_same_command_gives_the_same_bytes() -> None:
    train(*QUICK)
    run = run_folder("toys-build_toy-baseline")
    first = run.weights.read_bytes(), run.training.read_bytes(), run.card.read_bytes()
    again = train(*QUICK)
    assert "the model in runs/toy/toys-build_toy-baseline is replaced when this training ends" in again.stderr
    assert (run.weights.read_bytes(), run.training.read_bytes(), run.card.read_bytes()) == first


def test_interrupted_and_resumed_ends_where_the_undisturbed_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    train(*QUICK)
    run = run_folder("toys-build_toy-baseline")
    expected = ModelCard.read(run.card).fingerprint
    validate, calls = Validator.__call__, iter(range(1, 10))

    def interrupting(*arguments: object) -> object:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return validate(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Validator, "__call__", interrupting)
        stopped = train(*QUICK)
    assert stopped.exit_code == 130
    assert "interrupted in epoch 2 of 3; epoch 1 is kept, and --resume goes on from it" in stopped.stderr
    assert torch.load(run.checkpoint, weights_only=True)["epochs"][0]["epoch"] == 1

    with pytest.raises(
        TgrError, match=r"was begun with recipe.lr 0.05, where 0.1 is asked for; resume it with the same"
    ):
        raise train(*QUICK, "--lr", 0.1, "--resume").exception  # type: ignore[misc]
    resumed = train(*QUICK, "--resume", "--json")
    assert len(json.loads(resumed.stdout)["training"]) == 3
    assert ModelCard.read(run.card).fingerprint == expected
    assert not run.checkpoint.exists()

    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    again = train(*QUICK, "--resume", "--json")
    assert "is finished, there is nothing to resume; continue it with a larger --epochs" in again.stderr
    assert json.loads(again.stdout) == json.loads(resumed.stdout)
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before
    run.last.unlink()
    with pytest.raises(TgrError, match=r"is finished, and its state to go on from \(last.pt\) is not there; leave out"):
        raise train(*QUICK, "--resume").exception  # type: ignore[misc]


def test_a_seed_has_its_own_run_and_a_limit_draws_by_it() -> None:
    train(*QUICK, "--seed", 4, "--images", 8)
    run = run_folder("toys-build_toy-baseline-s4")
    assert ModelCard.read(run.card).seed == 4
    assert store.read(run.training, TRAINING).provenance.seed == 4
    drawn = step._rows(_config(seed=4, images=8), 60)
    assert len(set(drawn)) == 8
    assert (drawn == step._rows(_config(seed=4, images=8), 60)).all()
    assert (drawn != step._rows(_config(seed=5, images=8), 60)).any()


def test_variants_lie_apart_and_the_other_commands_find_them() -> None:
    assert train(*QUICK, "--variant", "dropout", "--dropout", 0.5).exit_code == 0
    assert train(*QUICK).exit_code == 0
    assert ModelCard.read(run_folder("toys-build_toy-baseline-dropout").card).variant == "dropout"
    found = {}
    for variant in ((), ("--variant", "dropout")):
        done = tgr("evaluate", "--dataset", "parquet:toy", *TOY, *variant, "--json")
        tgr("inject", "--dataset", "parquet:toy", *TOY, *variant, "--injections", 8, "--sampling", "uniform")
        found[json.loads(done.stdout)["run"]] = json.loads(done.stdout)["loss"]
    assert found.keys() == {"toys-build_toy-baseline", "toys-build_toy-baseline-dropout"}
    assert len(set(found.values())) == 2
    compared = tgr("compare", *found, "--dataset", "parquet:toy")
    assert compared.exit_code == 0
    assert "toys-build_toy-baseline-dropout" in compared.stdout
    with pytest.raises(TgrError, match='--variant "s3" reads as another part'):
        raise train(*QUICK, "--variant", "s3").exception  # type: ignore[misc]


def _config(**values: object) -> step.Config:
    return step.Config(
        data=DataSource(dataset="parquet:toy"),
        preprocessing=PreprocessingOptions(),
        overrides=Overrides(),
        disturbance=Disturbance(),
        model="digits_cnn",
        **values,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--head", "txt"), '--head is "txt"; use one of baseline, cosine, text. Did you mean "text"?'),
        (("--augment", "all"), '--augment is "all"; use one of none, flip, crop, imagenet, trivial.'),
        (
            ("--head", "text", "--init", "random"),
            '--init is "random"; use one of template, descriptions',
        ),
        (("--init", "template"), '--init template has no meaning for --head baseline; use "--head text"'),
        (("--head", "text", "--embedding-dim", 8), "--embedding-dim has no meaning for --head text"),
        (("--label-smoothing", 1), r"--label-smoothing is 1; it must be in \[0, 1\)"),
        (("--epochs", 2, "--warmup-epochs", 2), "--warmup-epochs is 2 of 2 epochs; it must be below --epochs"),
        (("--device", "tpu"), '--device "tpu" cannot be used on this machine'),
        (
            ("--head", "text"),
            'runs/toy/embeddings-descriptions.parquet does not exist; run "tgr describe --dataset parquet:toy" and '
            'then "tgr embed --dataset parquet:toy --init descriptions" first',
        ),
        (
            ("--lr", 1000, "--weight-decay", 1000, "--batch-size", 2, "--epochs", 3),
            "no finite number any more in epoch 1; lower --lr",
        ),
        (
            ("--lr", 1000, "--weight-decay", 1000),
            r"logits for image toy/0.png are not finite; lower --lr \(now 1000\) or add --warmup-epochs",
        ),
        (("--std", "0.2,0.2,0.2", "--mean", "0,0,0"), "--model toys:build_toy fails on an input of 3×8×8"),
    ],
)
def test_a_mistake_ends_in_a_sentence(options: tuple[object, ...], message: str) -> None:
    result = train(*options)
    assert result.exit_code == 1
    with pytest.raises(TgrError, match=message):
        raise result.exception  # type: ignore[misc]
    assert not list(Path("runs").rglob("*.safetensors")) if Path("runs").exists() else True


def test_embeddings_of_other_classes_are_refused() -> None:
    write_embeddings(("dot", "bar", "star"))
    wanted = (
        r"embeddings-descriptions.parquet embeds 3 classes \(dot, bar, star\), the data set has 3 classes "
        r'\(dot, bar, ring\); run "tgr embed --dataset parquet:toy --init descriptions" again'
    )
    with pytest.raises(TgrError, match=wanted):
        raise train("--head", "text").exception  # type: ignore[misc]


def test_embeddings_named_by_their_path_are_used_and_must_be_of_the_initialisation_asked_for() -> None:
    elsewhere = write_embeddings(init="template").rename("mine.parquet")
    train(*QUICK, "--head", "text", "--init", "template", "--embeddings", elsewhere)
    run = run_folder("toys-build_toy-text-template")
    assert store.read(run.training, TRAINING).provenance.inputs == {"embeddings": sha256_file(elsewhere)}
    with pytest.raises(TgrError, match=r"mine.parquet holds embeddings of --init template, where --init descriptions"):
        raise train("--head", "text", "--embeddings", elsewhere).exception  # type: ignore[misc]
    with pytest.raises(TgrError, match="--embeddings has no meaning for --head cosine"):
        raise train("--head", "cosine", "--embeddings", elsewhere).exception  # type: ignore[misc]


def test_a_training_on_other_images_is_not_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Validator, "__call__", Mock(side_effect=[Validation(loss=1, top1=0, top5=1), KeyboardInterrupt]))
        assert train(*QUICK).exit_code == 130
    Path("toy/train.parquet").rename("other.parquet")
    with pytest.raises(
        TgrError, match=r"begun with training images 60 of train.parquet, where 60 of --train-data other"
    ):
        raise train(*QUICK, "--resume", "--train-data", "other.parquet").exception  # type: ignore[misc]


def test_an_output_that_cannot_be_written_is_told_before_the_work() -> None:
    Path("runs").write_text("a file in the way")
    with pytest.raises(TgrError, match="cannot be written"):
        raise train(*QUICK).exception  # type: ignore[misc]


def test_weights_are_saved_as_they_were_trained() -> None:
    train(*QUICK)
    run = run_folder("toys-build_toy-baseline")
    model = step.zoo.build("toys:build_toy", 3)
    weights.load(model, weights.read_state_dict(run.weights))
    assert weights.fingerprint(model) == ModelCard.read(run.card).fingerprint


def test_a_run_can_be_written_elsewhere_and_read_as_a_checkpoint() -> None:
    assert train("--epochs", 1, "--out", "elsewhere").exit_code == 0
    assert sorted(path.suffix for path in Path("elsewhere").iterdir()) == [
        *[".json"] * 3,
        ".parquet",
        ".pt",
        *[".safetensors"] * 2,
    ]
    assert not Path("runs").exists()
    done = tgr("evaluate", "--dataset", "parquet:toy", *TOY, "--checkpoint", "elsewhere/model.safetensors")
    assert done.exit_code == 0


def test_the_recipe_is_printed_and_nothing_trained() -> None:
    printed = train("--recipe", "digits", "--batch-size", 32, "--print-recipe", "--json")
    found = json.loads(printed.stdout)
    assert found["recipe"] == "digits"
    assert (found["values"]["lr"], found["from"]["lr"]) == (0.001, "scaling")
    assert (found["values"]["optimizer"], found["from"]["optimizer"]) == ("adamw", "recipe")
    assert (found["values"]["crop"], found["from"]["crop"]) == (8, "option")
    table = train("--recipe", "digits", "--print-recipe")
    assert re.search(r"learning rate of the recipe|weight-decay +0.0001 +recipe", table.stdout)
    assert not Path("runs").exists()


def test_a_recipe_is_trained_by_and_recorded() -> None:
    result = train("--recipe", "digits", "--epochs", 1, "--batch-size", 16, "--lr", 0.01)
    assert result.exit_code == 0
    run = run_folder("toys-build_toy-baseline")
    recorded = store.read(run.training, TRAINING).provenance.config
    assert recorded["recipe"] | {"name": "digits", "epochs": 1, "optimizer": "adamw", "lr": 0.01} == recorded["recipe"]
    assert recorded["preprocessing"]["crop"] == 8
    details = json.loads(store.run_record(run.training).read_text())
    assert [epoch["epoch"] for epoch in details["epochs"]] == [1]
    assert details["epochs"][0].keys() == {"epoch", "seconds", "images_per_second", "peak_bytes"}
    assert weights.read_state_dict(run.best).keys() == weights.read_state_dict(run.weights).keys()


def test_a_training_that_is_interrupted_leaves_the_whole_run_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(*QUICK).exit_code == 0
    run = run_folder("toys-build_toy-baseline")
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    assert {run.best.name, run.weights.name, run.card.name} < before.keys()

    monkeypatch.setattr("tgr_cli.training.checkpoint.ResumeFile.save", Mock(side_effect=KeyboardInterrupt))
    assert train(*QUICK, "--seed", 0, "--lr", 0.01).exit_code == 130
    assert {name: (run.path / name).read_bytes() for name in before} == before
    assert {path.name for path in run.path.iterdir()} == before.keys()


@pytest.mark.parametrize("disturbance", [("--dropout", 0.3), ("--stimulated", 0.2, "--stimulated-sites", "conv*")])
def test_training_against_faults_is_resumed_to_the_same_weights(
    disturbance: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    every = (*disturbance, *QUICK, "--optimizer", "adamw", "--checkpoint-every", 1)
    train(*every, "--out", "whole")
    train(*QUICK, "--optimizer", "adamw", "--out", "plain")
    calls = iter(range(20))
    stop = Mock(side_effect=lambda *_: next(calls) == 5 and _interrupt())
    with monkeypatch.context() as patch:
        patch.setattr("tgr_cli.commands.console.Console.progress", stop)
        assert train(*every).exit_code == 130
    assert train(*every, "--resume").exit_code == 0
    found = weights.read_state_dict(run_folder("toys-build_toy-baseline").weights)
    whole, plain = (weights.read_state_dict(Path(name) / "model.safetensors") for name in ("whole", "plain"))
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    assert any(not torch.equal(found[name], plain[name]) for name in plain)


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_training_begins_from_a_checkpoint_and_freezes_what_is_asked() -> None:
    train(*QUICK, "--out", "first")
    weights_of = lambda folder: weights.read_state_dict(Path(folder) / "model.safetensors")  # noqa: E731
    done = train(*QUICK, "--checkpoint", "first/model.safetensors", "--freeze-backbone", "--out", "second")
    assert done.exit_code == 0
    first, second = weights_of("first"), weights_of("second")
    assert {name for name in first if not torch.equal(first[name], second[name])} == {"fc.weight", "fc.bias"}
    inputs = store.read(Path("second/training.parquet"), TRAINING).provenance.inputs
    assert inputs == {"checkpoint": sha256_file(Path("first/model.safetensors"))}
    with pytest.raises(TgrError, match=r"the checkpoint first/model.safetensors does not fit the model: it lacks"):
        raise train(*QUICK, "--head", "cosine", "--checkpoint", "first/model.safetensors").exception  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dropout", 1), r"--dropout is 1; it must be in \(0, 1\)"),
        (("--dropout-sites", "conv1"), "--dropout-sites has no meaning without --dropout"),
        (("--stimulated-bits", "3"), "--stimulated-sites and --stimulated-bits have no meaning without --stimulated"),
        (("--stimulated", 2), r"--stimulated is 2; it must be in \(0, 1\]"),
        (("--stimulated", 0.2, "--stimulated-sites", "conv9"), '--stimulated-sites names "conv9", which is no convolu'),
        (
            ("--stimulated", 0.2, "--freeze-backbone"),
            "--stimulated has no effect on conv1, which --freeze-backbone keeps as it is without faults; leave out one",
        ),
        (("--dropout", 0.2, "--dropout-sites", "fc,conv2", "--freeze-backbone"), "--dropout has no effect on conv2"),
        (("--freeze-head", "--freeze-backbone"), "leave nothing to train; leave out one of them"),
        (("--recipe", "resnets"), '--recipe is "resnets"; use one of auto, none,'),
    ],
)
def test_mistakes_in_how_it_trains_end_in_a_sentence(options: tuple[object, ...], message: str) -> None:
    with pytest.raises(TgrError, match=message):
        raise train(*options).exception  # type: ignore[misc]
