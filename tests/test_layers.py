"""Imports point one way, and the command line answers without the heavy libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tgr_cli
from tgr_cli.commands import COMMANDS

PACKAGE = Path(tgr_cli.__file__).parent
BASE = {"errors", "naming", "documents", "reporting", "seeding", "artifacts"}
MAY_IMPORT = {
    "app": {"commands", "documents", "errors"},
    "commands": BASE | {"steps", "commands", "data", "models", "faults", "text", "metrics"},
    "steps": BASE | {"steps", "report", "saliency", "training", "models", "data", "faults", "metrics", "text"},
    "report": BASE | {"report", "metrics"},
    "saliency": BASE | {"saliency", "faults", "metrics"},
    "training": BASE | {"training", "models", "data", "metrics"},
    "models": BASE | {"models", "data"},
    "faults": BASE | {"faults", "metrics"},
    "text": BASE | {"text"},
    "data": BASE | {"data"},
    "metrics": BASE | {"metrics"},
    "artifacts": {"artifacts", "documents", "errors"},
    "naming": set(),
    "seeding": set(),
    "reporting": set(),
    "documents": {"errors"},
    "errors": set(),
}


def imports(source: str) -> set[str]:
    """Return the dotted names a module imports, at its top or within functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def forbidden(layer: str, source: str) -> set[str]:
    """Return what a module of `layer` imports and may not: other layers, or the terminal's libraries."""
    bad = set()
    for name in imports(source):
        parts = name.split(".")
        if parts[0] == "tgr_cli" and len(parts) > 1 and parts[1] != "__version__" and parts[1] not in MAY_IMPORT[layer]:
            bad.add(name)
        if parts[0] in {"typer", "rich", "click"} and layer not in {"app", "commands"}:
            bad.add(name)
        if parts[0] == "click":
            bad.add(name)
    return bad


MODULES = sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py") if p.stem not in {"__init__", "__main__"})


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_one_way(module: Path) -> None:
    layer = module.parts[0].removesuffix(".py")
    assert forbidden(layer, (PACKAGE / module).read_text()) == set()


def test_the_check_of_layers_can_fail() -> None:
    assert forbidden("metrics", "from tgr_cli.steps import inject") == {"tgr_cli.steps.inject"}
    assert forbidden("steps", "import typer") == {"typer"}
    assert forbidden("artifacts", "def f():\n    from tgr_cli.faults import plan") == {"tgr_cli.faults.plan"}


HEAVY = ("torch", "pyarrow", "numpy", "open_clip", "timm", "scipy", "sklearn", "matplotlib", "jinja2")


def loaded_by(*arguments: str, preload: str = "") -> set[str]:
    """Return which heavy libraries a process has loaded after answering `tgr ARGUMENTS`."""
    code = (
        f"import sys\n{preload}\nsys.argv = ['tgr', *{list(arguments)!r}]\nfrom tgr_cli.app import main\n"
        f"try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_answers_without_the_heavy_libraries(command: str | None) -> None:
    arguments = [command, "--help"] if command else ["--help"]
    assert loaded_by(*arguments) == set()


@pytest.mark.parametrize(
    "command",
    [
        "inject --model vgg16_bn",
        "train --model lenet5 --dataset cifar10 --head text",
        "top2diff-sweep --dataset digits",
        "compare first second --dataset digits",
        "cam --model vgg16_bn",
    ],
)
def test_what_is_missing_is_told_without_the_slow_libraries(command: str, tmp_path: Path) -> None:
    loaded = loaded_by(*command.split(), "--workdir", str(tmp_path), preload=f"import os; os.chdir({str(tmp_path)!r})")
    assert loaded <= {"pyarrow", "numpy"}


def test_the_check_of_heavy_libraries_can_fail() -> None:
    assert "numpy" in loaded_by("--help", preload="import numpy")
