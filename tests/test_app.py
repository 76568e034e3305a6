"""The command line as a whole: version, defaults from tgr.toml, docs that match the code."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from toys import tgr

from tgr_cli import __version__
from tgr_cli.app import defaults
from tgr_cli.commands import COMMANDS
from tgr_cli.errors import TgrError

CHECKOUT = Path(__file__).resolve().parents[1]


def test_the_version_is_that_of_the_package() -> None:
    assert tgr("--version").out == f"tgr {__version__}\n"
    assert tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_help_lists_every_command() -> None:
    shown = tgr("--help")
    assert shown.code == 0
    assert all(f" {name} " in shown.out for name in COMMANDS)


def test_the_generated_docs_are_current() -> None:
    done = subprocess.run(
        [sys.executable, CHECKOUT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_check_of_the_docs_can_fail(tmp_path: Path) -> None:
    stale = tmp_path / "docs"
    stale.mkdir()
    (stale / "generate.py").write_text((CHECKOUT / "docs" / "generate.py").read_text())
    (tmp_path / "tgr_cli").symlink_to(CHECKOUT / "tgr_cli")
    done = subprocess.run(
        [sys.executable, stale / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "docs: cli.md, artifacts.md no longer match the code; run: python docs/generate.py" in done.stderr


def test_defaults_of_all_commands_and_of_one(tmp_path: Path) -> None:
    file = tmp_path / "tgr.toml"
    file.write_text('dataset = "digits"\n[inject]\nbatch-size = 7\n')
    found = defaults(file)
    assert found["inject"] == {"dataset": "digits", "batch_size": 7}
    assert found["describe"] == {"dataset": "digits"}
    assert found["formats"] == {}


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tgr.toml").write_text('workdir = "from-file"\ndataset = "digits"\n')
    assert "wrote from-file/digits/descriptions.parquet" in tgr("describe", cwd=tmp_path).err
    monkeypatch.setenv("TGR_WORKDIR", "from-environment")
    assert "wrote from-environment/digits/descriptions.parquet" in tgr("describe", cwd=tmp_path).err
    assert "wrote typed/digits/descriptions.parquet" in tgr("describe", "--workdir", "typed", cwd=tmp_path).err
    shown = tgr("show", "from-environment/digits/descriptions.parquet", cwd=tmp_path).out
    row = next(line for line in shown.splitlines() if "workdir" in line)
    assert "from-environment" in row
    assert "environment" in row.split("from-environment")[1]
    assert any("dataset" in line and "tgr.toml" in line for line in shown.splitlines())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("dataset = ", "is not valid TOML"),
        ('datset = "digits"', 'sets "datset", which no command has'),
        ("[injct]\nseed = 1", r"has a table \[injct\], which is no command"),
        ("[inject]\nepochs = 1", r'sets "epochs" in \[inject\], which "tgr inject" has no option for'),
    ],
)
def test_a_defaults_file_with_a_mistake_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "tgr.toml"
    file.write_text(text)
    with pytest.raises(TgrError, match=sentence):
        defaults(file)


def test_any_option_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGR_DESCRIBE_DATASET", "digits")
    assert "wrote runs/digits/descriptions.parquet" in tgr("describe", cwd=tmp_path).err
