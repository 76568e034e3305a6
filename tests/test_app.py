"""The command line as a whole: version, defaults from tgr.toml, docs that match the code."""

import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from processes import Ran, Running, tgr

from tgr_cli import __version__, app
from tgr_cli.app import defaults
from tgr_cli.commands import COMMANDS
from tgr_cli.commands.group import built
from tgr_cli.commands.usage import EXAMPLES
from tgr_cli.errors import TgrError

CHECKOUT = Path(__file__).resolve().parents[1]


def test_the_version_is_that_of_the_package() -> None:
    done = subprocess.run([sys.executable, "-m", "tgr_cli", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"tgr {__version__}\n"
    assert tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_help_lists_every_command() -> None:
    shown = tgr("--help")
    assert shown.code == 0
    assert all(f" {name} " in shown.out for name in COMMANDS)


def generate(docs: Path) -> Ran:
    """Run docs/generate.py --check in a folder."""
    script = str(docs / "generate.py")
    code = f"import runpy, sys; sys.argv[1:] = ['--check']; runpy.run_path({script!r}, run_name='__main__')"
    return Running(exec, code).wait()


def test_the_generated_docs_are_current() -> None:
    assert generate(CHECKOUT / "docs") == Ran(0, "", "")


def test_the_check_of_the_docs_can_fail(tmp_path: Path) -> None:
    stale = tmp_path / "docs"
    stale.mkdir()
    for name in ("generate.py", "formats.md"):
        (stale / name).write_text((CHECKOUT / "docs" / name).read_text(encoding="utf-8").replace("65504", "65505"))
    (tmp_path / "tgr_cli").symlink_to(CHECKOUT / "tgr_cli")
    done = generate(stale)
    assert done.code == 1
    assert "docs: cli.md, artifacts.md, formats.md no longer match the code; run: python docs/generate.py" in done.err


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


def misread(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the sentence that a command line ends with which cannot be read."""
    monkeypatch.setattr(sys, "argv", ["tgr", *arguments])
    with pytest.raises(SystemExit) as left:
        app.main()
    printed = capsys.readouterr()
    assert (left.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    return printed.err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_missing_argument_is_named_with_a_line_that_would_do(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    required = [parameter for parameter in built(name).params if parameter.required]
    assert bool(required) == (name in EXAMPLES)
    if not required:
        return
    first = required[0]
    missing = f"--{first.name}" if first.param_type_name == "option" else first.name.upper()
    told = misread(name, monkeypatch=monkeypatch, capsys=capsys)
    assert told.startswith(f"tgr: {missing} is missing (")
    assert told.endswith(f'; give it, as in "{EXAMPLES[name]}"; see "tgr {name} --help"\n')
    words = shlex.split(EXAMPLES[name])
    assert words[:2] == ["tgr", name]
    built(name).make_context(name, words[2:])  # reads the line, and runs nothing


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "x", "--rows", "five"), "'--rows': Input should be a valid integer"),
        (("evaluate", "--model", "m", "--images", "1.5"), "'--images': Input should be a valid integer"),
        (("top2diff-sweep", "--start", "low"), "'--start': Input should be a valid number"),
        (
            ("sites", "--model", "m", "--num-classes", "0"),
            "'--num-classes': Input should be greater than or equal to 1",
        ),
    ],
)
def test_a_wrong_value_is_told_with_what_was_found(
    arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = misread(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert words in told
    assert told.endswith(f'(found "{arguments[-1]}"); see "tgr {arguments[0]} --help"\n')


def test_any_option_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGR_DESCRIBE_DATASET", "digits")
    assert "wrote runs/digits/descriptions.parquet" in tgr("describe", cwd=tmp_path).err
