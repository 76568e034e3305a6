"""What users do wrong: one sentence on stderr, exit 1 or 2 (3 for a gate), and nothing written or changed.

Every case runs the entry point in a copy of one prepared folder, and compares its files before and after.
"""

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import tgr
from refused_inputs import INPUTS
from refused_options import OPTIONS
from spoiling import EVALUATE, INJECT, SPOILT, SPOILT_INJECT, TRAIN, Case, model_file
from toys_artifacts import invoke
from toys_folder import TOY, files, fill_here

from tgr_cli import app

CASES = [*INPUTS, *OPTIONS]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the toy data set, a whole run of the toy network on it, and a model with two heads."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fill_here()
    return folder


@pytest.fixture
def copied(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run the test in a copy of the prepared folder, whose own modules are forgotten afterwards."""
    folder = shutil.copytree(prepared, tmp_path / "here")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    sys.modules.pop("spoilt", None)


def refused(case: Case, code: int, out: str, err: str) -> None:
    assert code == case.code, err
    assert out == ""
    assert err.startswith("tgr: "), err
    assert err.count("\n") == 1, err
    for word in case.words:
        assert word in err


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_sentence_and_nothing_written(
    case: Case, copied: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if case.spoil:
        case.spoil()
    before = files(copied)
    monkeypatch.setattr(sys, "argv", ["tgr", *shlex.split(case.arguments)])
    with pytest.raises(SystemExit) as left:
        app.main()
    refused(case, left.value.code, *capfd.readouterr())
    assert files(copied) == before


def test_a_gate_that_fails_says_so_and_keeps_the_campaign(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tgr", *shlex.split(f"{INJECT} --label golden --max-sdc-rate 0 --json")])
    with pytest.raises(SystemExit) as left:
        app.main()
    out, err = capfd.readouterr()
    assert left.value.code == 3
    assert '"verdict": ' in out
    assert [line for line in err.splitlines() if line.startswith("tgr: gate ")] == err.splitlines()[-1:]


@pytest.mark.parametrize(
    ("name", "value", "command", "words"),
    [
        (
            "TGR_TRAIN_EPOCHS",
            "many",
            TRAIN.replace(" --epochs 1", ""),
            ("a valid integer", "variable TGR_TRAIN_EPOCHS"),
        ),
        ("TGR_SITES_CONFIDENCE", "0.3", "sites --model alexnet", ("0.3", "variable TGR_SITES_CONFIDENCE")),
        ("TGR_WORKDIR", "a\udce9", EVALUATE, ("no UTF-8", "variable TGR_WORKDIR")),
    ],
)
def test_a_wrong_value_that_was_not_typed_is_told_with_where_it_stands(
    name: str,
    value: str,
    command: str,
    words: tuple[str, ...],
    copied: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["tgr", *shlex.split(command)])
    with pytest.raises(SystemExit) as left:
        app.main()
    assert left.value.code in (1, 2)
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    for word in words:
        assert word in told


@pytest.mark.parametrize("name", ["TGR_VERSION", "TGR_HELP", "TGR_FLIP_HELP"])
@pytest.mark.parametrize("value", ["1", "0.3.0", "no"])
def test_variables_that_ask_for_no_option_change_nothing(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["tgr", "flip", "1.5", "--bit", "3", "--json"])
    with pytest.raises(SystemExit) as left:
        app.main()
    out, err = capfd.readouterr()
    assert (left.value.code, err) == (0, "")
    assert json.loads(out)


IN_PROCESSES = ("missing data set", "malicious checkpoint", "negative injections")


@pytest.mark.parametrize("case", [c for c in CASES if c.name in IN_PROCESSES], ids=lambda case: case.name)
def test_the_same_from_a_shell(case: Case, copied: Path) -> None:
    if case.spoil:
        case.spoil()
    before = files(copied)
    done = tgr(*shlex.split(case.arguments), PYTHONDONTWRITEBYTECODE="1")
    refused(case, done.code, done.out, done.err)
    assert files(copied) == before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_user_s_model_is_measured_in_its_own_precision_and_may_print(dtype: str, copied: Path) -> None:
    model_file(f"def build():\n    print('noise')\n    return ToyNet().to(torch.{dtype})")()
    told = json.loads(invoke(*shlex.split(f"{SPOILT} --json")).stdout)
    assert told["images"] == 30
    told = json.loads(invoke(*shlex.split(f"{SPOILT_INJECT} --json")).stdout)
    assert told["faults"] == 6


def test_names_cannot_speak_to_the_terminal(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    names = "do\x1b[31mt\nb\x07ar\nring\x9b2J\n"
    Path("names.txt").write_text(names)
    for arguments in (
        "describe --dataset parquet:toy --class-names names.txt --source template",
        "embed --dataset parquet:toy --class-names names.txt --init template --encoder tfidf",
        "show runs/toy/descriptions.parquet",
        f"evaluate {TOY} --class-names names.txt",
    ):
        monkeypatch.setattr(sys, "argv", ["tgr", *shlex.split(arguments)])
        with pytest.raises(SystemExit):
            app.main()
        told = "".join(capfd.readouterr())
        assert "do\\x1b[31mt" in told
        assert not {"\x1b", "\x07", "\x9b"} & set(told)
