"""`tgr train`: learning, complete run folders, recipes, and where it begins."""

import json
import re
from pathlib import Path

import pytest
import torch
from toys import CLASSES, write_toy_dataset
from toys_trained import QUICK, TOY, run_folder, tgr, train, write_embeddings

from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.artifacts.schemas import TRAINING
from tgr_cli.data.preprocessing import PreprocessingOptions
from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError
from tgr_cli.models import weights
from tgr_cli.models.card import ModelCard
from tgr_cli.steps import train as step
from tgr_cli.training.recipe import Overrides
from tgr_cli.training.stimulated import Disturbance


@pytest.fixture(autouse=True)
def _toy_data() -> None:
    write_toy_dataset(Path("toy"))


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


def test_embeddings_named_by_their_path_are_used_and_must_be_of_the_initialisation_asked_for() -> None:
    elsewhere = write_embeddings(init="template").rename("mine.parquet")
    train(*QUICK, "--head", "text", "--init", "template", "--embeddings", elsewhere)
    run = run_folder("toys-build_toy-text-template")
    assert store.read(run.training, TRAINING).provenance.inputs == {"embeddings": sha256_file(elsewhere)}
    with pytest.raises(TgrError, match=r"mine.parquet holds embeddings of --init template, where --init descriptions"):
        raise train("--head", "text", "--embeddings", elsewhere).exception  # type: ignore[misc]
    with pytest.raises(TgrError, match="--embeddings has no meaning for --head cosine"):
        raise train("--head", "cosine", "--embeddings", elsewhere).exception  # type: ignore[misc]


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
