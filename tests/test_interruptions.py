"""Ctrl-C, closed and full outputs, and readers that leave: an exit code, at most one line, nothing half-written."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import Ran, start
from toys import write_toy_dataset

from tgr_cli import app
from tgr_cli.steps import describe, inject

TOLD = "tgr: interrupted; files already written are whole and kept\n"


def run(arguments: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(sys, "argv", ["tgr", *shlex.split(arguments)])
    with pytest.raises(SystemExit) as left:
        app.main()
    return left.value.code


@pytest.mark.parametrize("command", ["describe --dataset digits", "demo"])
def test_an_interrupted_command_says_so_and_goes_no_further(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(describe, "run", interrupted)
    assert run(command, monkeypatch) == 130
    out, err = capsys.readouterr()
    assert err == TOLD
    assert "[2/" not in out
    assert not [path for path in Path("runs").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "--batch-size"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "--batch-size"),
        (OSError(24, "Too many open files", "x.parquet"), "x.parquet cannot be used (Too many open files)"),
    ],
)
def test_what_the_machine_cannot_do_is_told_in_a_sentence(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(inject, "run", fails)
    assert run("inject --model digits_cnn --dataset digits --weights none", monkeypatch) == 1
    err = capsys.readouterr().err
    assert err.startswith("tgr: ")
    assert err.count("\n") == 1
    assert words in err


def test_mistakes_of_our_own_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(inject, "run", fails)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run("inject --model digits_cnn --dataset digits --weights none", monkeypatch)


@pytest.mark.parametrize(
    ("redirection", "code", "told"),
    [
        ("| head -1; exit ${PIPESTATUS[0]}", (0, 1), ""),
        (">&-", (0,), ""),
        ("> /dev/full", (1,), "tgr: stdout cannot be used (No space left on device); choose another place\n"),
    ],
)
def test_an_output_that_takes_nothing(redirection: str, code: tuple[int, ...], told: str) -> None:
    command = f"{shlex.quote(sys.executable)} -m tgr_cli datasets {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode in code
    assert done.stderr == told


def test_an_interrupted_training_keeps_its_finished_epochs_and_nothing_else(tmp_path: Path) -> None:
    write_toy_dataset(tmp_path / "toy")
    options = "--model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --epochs 9999 -q"
    training = start("train", *options.split())
    checkpoint = Path("runs/toy/toys-build_toy-baseline/checkpoint.pt")
    while not checkpoint.exists():
        assert training.running(), training.wait()
        time.sleep(0.05)
    training.signal(signal.SIGINT)
    assert training.wait() == Ran(130, "", TOLD)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["checkpoint.pt"]
