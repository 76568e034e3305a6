"""`tgr train --resume`: interrupted trainings end where undisturbed ones do."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from toys import write_toy_dataset
from toys_trained import QUICK, run_folder, train

from tgr_cli.errors import TgrError
from tgr_cli.models import weights
from tgr_cli.models.card import ModelCard
from tgr_cli.training.loop import Validation
from tgr_cli.training.validation import Validator


@pytest.fixture(autouse=True)
def _toy_data() -> None:
    write_toy_dataset(Path("toy"))


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


def test_a_training_on_other_images_is_not_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Validator, "__call__", Mock(side_effect=[Validation(loss=1, top1=0, top5=1), KeyboardInterrupt]))
        assert train(*QUICK).exit_code == 130
    Path("toy/train.parquet").rename("other.parquet")
    with pytest.raises(
        TgrError, match=r"begun with training images 60 of train.parquet, where 60 of --train-data other"
    ):
        raise train(*QUICK, "--resume", "--train-data", "other.parquet").exception  # type: ignore[misc]


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
