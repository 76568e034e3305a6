"""The run folder of a training: one process at a time, resumable after any kill, foreign files untouched."""

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from processes import Running
from toys import write_toy_dataset
from training import kills
from typer.testing import CliRunner, Result

from tgr_cli.app import app
from tgr_cli.artifacts import store, together
from tgr_cli.artifacts.folder_lock import exclusive
from tgr_cli.artifacts.schemas import TRAINING
from tgr_cli.errors import TgrError
from tgr_cli.models.card import ModelCard
from tgr_cli.steps import train as step

TOY = (
    *("train", "--model", "toys:build_toy", "--dataset", "parquet:toy", "--resize", "8", "--crop", "8"),
    *("--mean", "0.5", "--std", "0.25", "--batch-size", "20", "--lr", "0.05"),
)
RUN = Path("runs/toy/toys-build_toy-baseline")


@pytest.fixture(autouse=True)
def _toy_data() -> None:
    write_toy_dataset(Path("toy"))


def train(*options: object) -> Result:
    result = CliRunner().invoke(app, [*TOY, *map(str, options)])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, TgrError):
        raise result.exception
    return result


def files(folder: Path = RUN) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_second_training_in_one_folder_is_refused_before_it_reads_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    RUN.mkdir(parents=True)
    monkeypatch.setattr("tgr_cli.steps.train.open_split", lambda *_: pytest.fail("data are opened"))
    wanted = rf"another process is training in {RUN}; wait until it is done, or keep this training apart with --variant"
    with FileLock(RUN / ".lock"), pytest.raises(TgrError, match=wanted):
        raise train("--epochs", 1).exception  # type: ignore[misc]
    with FileLock(RUN / ".lock"):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")  # with torchrun the first process holds the lock for all
        with step.held(config()):
            pass


def config() -> step.Config:
    from tgr_cli.data.preprocessing import PreprocessingOptions
    from tgr_cli.data.source import DataSource
    from tgr_cli.training.recipe import Overrides
    from tgr_cli.training.stimulated import Disturbance

    return step.Config(
        data=DataSource(dataset="parquet:toy"),
        preprocessing=PreprocessingOptions(),
        overrides=Overrides(),
        disturbance=Disturbance(),
        model="toys:build_toy",
    )


def test_a_folder_is_held_once_and_empty_ones_go() -> None:
    with exclusive(Path("a/b"), "busy"):
        with exclusive(Path("a/../a/b"), "busy"):  # by the same process, like a step within its command
            assert Path("a/b/.lock").exists()
        with pytest.raises(Timeout):
            FileLock("a/b/.lock").acquire(timeout=0)
    assert not Path("a").exists()


def test_more_epochs_after_a_finished_training() -> None:
    assert train("--epochs", 3, "--schedule", "constant", "--out", "straight").exit_code == 0
    assert train("--epochs", 1, "--schedule", "constant").exit_code == 0
    going_on = train("--epochs", 3, "--schedule", "constant", "--resume", "--json")
    assert "1 epochs were planned, now 3: it goes on as if they had been from the start" in going_on.stderr
    assert [row["epoch"] for row in json.loads(going_on.stdout)["training"]] == [1, 2, 3]
    found, wanted = files(), files(Path("straight"))
    assert [found[name] == wanted[name] for name in ("model.safetensors", "best.safetensors")] == [True, True]
    artifact = store.read(RUN / "training.parquet", TRAINING)
    assert artifact.table == store.read(Path("straight/training.parquet"), TRAINING).table
    assert artifact.provenance.extra["legs"] == [
        {"after_epoch": 0, "after_step": 0, "epochs": 1},
        {"after_epoch": 1, "after_step": 0, "epochs": 3},
    ]
    with pytest.raises(TgrError, match=r"last.pt was begun with recipe.epochs 3, where 30 is asked for"):
        raise train("--schedule", "constant", "--resume").exception  # type: ignore[misc]
    with pytest.raises(TgrError, match=r"last.pt has finished 3 epochs; give --epochs 4 or more"):
        raise train("--schedule", "constant", "--resume", "--epochs", 2).exception  # type: ignore[misc]
    assert files() == found


def test_what_a_killed_training_left_is_removed_and_nothing_else() -> None:
    RUN.mkdir(parents=True)
    left = (
        ".checkpoint.pt.abc.tmp",
        ".last.pt.x.tmp",
        ".training.run.json.x.tmp",
        ".golden.parquet.y.tmp",
        ".mine.tmp",
        "notes.txt",
    )
    for name in left:
        (RUN / name).write_text("left")
    (RUN / together.ENDING).mkdir()
    (RUN / together.ENDING / "model.json").write_text("half")
    assert train("--epochs", 1).exit_code == 0
    assert {path.name for path in RUN.iterdir() if path.name[0] == "." or path.name == "notes.txt"} == set(left[3:])


def test_a_run_that_was_not_yet_moved_into_place_is_completed_by_the_next_training() -> None:
    """Also by a refused or interrupted command: files of the older and the newer run are never mixed."""
    assert train("--epochs", 1, "--seed", 0).exit_code == 0
    assert train("--epochs", 2, "--out", "new").exit_code == 0
    whole = RUN / together.ENDING
    whole.mkdir()
    (whole / together.COMMITTED).touch()
    (RUN / "last.pt").unlink()
    for name in ("model.safetensors", "training.parquet", "model.json"):  # best.safetensors has already been moved
        (Path("new") / name).rename(whole / name)
    (Path("new") / "last.pt").rename(RUN / "checkpoint.pt")
    (Path("new") / "best.safetensors").replace(RUN / "best.safetensors")
    Path("broken.pth").write_bytes(b"no weights")
    with pytest.raises(TgrError, match=r"broken.pth"):
        raise train("--checkpoint", "broken.pth").exception  # type: ignore[misc]
    assert not whole.exists()
    assert not (RUN / "checkpoint.pt").exists()
    assert len(store.read(RUN / "training.parquet", TRAINING).table) == 2
    again = train("--epochs", 2, "--resume")
    assert "is finished" in again.stderr
    assert (
        store.read(RUN / "training.parquet", TRAINING).provenance.model
        == ModelCard.read(RUN / "model.json").fingerprint
    )


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"thesis.tex": b"", "data": None}, "holds data, thesis.tex, and no run of tgr; name a new or an empty folder"),
        ({"model.json": b"{}", "model.safetensors": b"x"}, "holds model.json, model.safetensors, and no run of tgr"),
        ({"checkpoint.pt": b"of another tool" * 9, "last.pt": b""}, "holds checkpoint.pt, last.pt, and no run of tgr"),
    ],
)
def test_a_folder_of_the_users_own_is_not_trained_into(held: dict[str, bytes | None], words: str) -> None:
    Path("mine").mkdir()
    for name, written in held.items():
        (Path("mine") / name).write_bytes(written) if written is not None else (Path("mine") / name).mkdir()
    before = files(Path("mine"))
    with pytest.raises(TgrError, match=words):
        raise train("--epochs", 1, "--out", "mine").exception  # type: ignore[misc]
    assert files(Path("mine")) == before


def test_places_that_are_no_folder_for_a_run_are_refused() -> None:
    Path("file").write_text("x")
    for out, words in (
        ("file", "file is a file, and a run is written into a folder"),
        ("file/run", "file/run cannot be written"),
    ):
        with pytest.raises(TgrError, match=words):
            raise train("--epochs", 1, "--out", out).exception  # type: ignore[misc]
    misnamed = train("--epochs", 1, "--out", os.fsdecode(b"caf\xe9"))
    assert misnamed.exit_code == 2
    assert "is no UTF-8; rename the file, or give another name" in " ".join(misnamed.output.replace("│", "").split())
    assert train("--epochs", 1, "--out", "twice").exit_code == 0
    assert train("--epochs", 1, "--out", "twice").exit_code == 0  # a run of its own is replaced
    with pytest.raises(TgrError, match=r"twice/best.safetensors is read"):
        raise train("--out", "twice", "--checkpoint", "twice/best.safetensors").exception  # type: ignore[misc]


@pytest.mark.long
@pytest.mark.parametrize("over_older", [False, True])
def test_trainings_that_are_killed_end_in_the_undisturbed_bytes(over_older: bool) -> None:
    """A few kill points; `python tests/training/kills.py 1 10 OPTIONS` tries all of them."""
    options = "--model digits_cnn --dataset digits --images 32 --epochs 1 --batch-size 32"
    done = Running(kills.main, over_older, 72, 0, *options.split()).wait()
    assert done.code == 0, done.out + done.err
    assert "0 did not end in the undisturbed bytes" in done.out
