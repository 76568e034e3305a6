"""Mistyped names are told before torch is loaded, in the words that the library uses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from toys_artifacts import invoke

from tgr_cli.errors import TgrError
from tgr_cli.faults import option_names
from tgr_cli.faults.fault_models import names as fault_models
from tgr_cli.faults.formats import names as formats
from tgr_cli.faults.patterns import names as patterns
from tgr_cli.models import names
from tgr_cli.models.loading import usable_device

WRONG = {
    "inject --dataset digits --model digits_cnn --format int77": '--format is "int77"; use one of float64, ',
    "evaluate --dataset digits --model digits_cnn --weight-format mxfp8": (
        '--weight-format is "mxfp8", and there are 2 formats of this kind; use one of mxfp8_e4m3, mxfp8_e5m2'
    ),
    "inject --dataset digits --model digits_cnn --encode posit99": '--encode is "posit99"; use one of ',
    "flip 1.0 --format flaot32": 'Did you mean "float32"?',
    "inject --dataset digits --model digits_cnn --fault-model flop": '--fault-model is "flop"; use one of flip, ',
    "inject --dataset digits --model digits_cnn --pattern rows": 'Did you mean "row"?',
    "profile-ranges --dataset digits --model digits_cnn --targets conv,pool": '"pool" is no kind of site; choose ',
    "sites --model digits_cnn --targets conv2d": '"conv2d" is no kind of site; choose among conv, linear, matmul',
    "sites --model digits_cn": 'there is no model "digits_cn"; ',
    "sites --model not_there.nets:build": (
        '--model not_there.nets:build: "not_there.nets" cannot be imported (ModuleNotFoundError: No module named '
        "'not_there'); it must be installed or lie in the current folder"
    ),
    "train --dataset digits --model digits_cnn --device gpu": '--device "gpu" cannot be used on this machine',
    "evaluate --dataset digits --model digits_cnn --device cuda:x": '--device "cuda:x" cannot be used on this machine',
    "evaluate --dataset digits --model digits_cnn --mean a,b,c": '--mean is "a,b,c", not numbers; write them as ',
    "inject --dataset digits --model digits_cnn --crop-mode centre": 'Did you mean "center"?',
    "profile-ranges --dataset digits --model digits_cnn --interpolation cubic": '--interpolation is "cubic"; use one ',
    "merge gone-1.parquet": 'gone-1.parquet does not exist; run "tgr inject --shard" first',
}
ALONE = """
import contextlib, io, json, sys
from tgr_cli import app
told = {}
for line in json.loads(sys.argv[1]):
    sys.argv = ["tgr", *line.split()]
    with contextlib.redirect_stderr(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        app.main()
    told[line] = printed.getvalue() + "and torch is loaded" * ("torch" in sys.modules)
print(json.dumps(told))
"""


def test_names_are_told_without_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps([*WRONG])], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    told = json.loads(done.stdout)
    assert {line: told[line] for line, words in WRONG.items() if words not in told[line]} == {}
    assert [line for line, words in told.items() if words.endswith("and torch is loaded")] == []


def test_the_names_are_those_of_the_library() -> None:
    assert tuple(formats.ENTRIES) == option_names.FORMATS
    assert tuple(fault_models.MODELS) == option_names.FAULT_MODELS
    assert tuple(patterns.PATTERNS) == option_names.PATTERNS


@pytest.mark.parametrize("name", ["cpu", "cuda", "mps", "xpu:1", "meta"])
def test_a_device_that_torch_knows_is_left_to_torch(name: str) -> None:
    names.refuse_unknown_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "CPU", "cuda:x", ""])
def test_a_device_that_is_refused_is_one_that_torch_does_not_know(name: str) -> None:
    for refuse in (names.refuse_unknown_device, usable_device):
        with pytest.raises(TgrError, match=r"cannot be used on this machine; use cpu, cuda, cuda:1 or mps"):
            refuse(name)


def test_a_module_in_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_nets_here.py").write_text("")
    names.refuse_absent_module("own_nets_here:build")
    names.refuse_absent_module("json.decoder:build")
    with pytest.raises(TgrError, match='own_nets_here has no function "build"'):
        invoke("sites", "--model", "own_nets_here:build")
