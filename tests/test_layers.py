"""Imports point one way, and the command line answers without the heavy libraries."""

import ast
import functools
import subprocess
import sys
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import tgr_cli
from tgr_cli.commands import COMMANDS

PACKAGE = Path(tgr_cli.__file__).parent
BASE = {
    "allocator",
    "cores",
    "defaults",
    "errors",
    "naming",
    "paths",
    "documents",
    "reporting",
    "seeding",
    "pooling",
    "storage",
    "artifacts",
}
PURE = {"data", "guards", "models", "faults", "text", "metrics"}
MAY_IMPORT = {
    "app": {"allocator", "commands", "documents", "errors"},
    "api": BASE | {"api", "published", "steps", "campaign", "data", "models", "metrics", "report"},
    "commands": BASE
    | {"steps", "preflight", "campaign", "commands", "published", "data", "models", "text", "metrics", "training"},
    "steps": BASE | PURE | {"campaign", "protection", "report", "saliency", "submit", "training"},
    "submit": BASE | {"submit", "campaign"},
    "preflight": BASE | {"preflight", "campaign", "training", "faults", "models", "data", "text"},
    "campaign": BASE | {"campaign", "published", "guards", "models", "data", "faults", "metrics"},
    "protection": BASE | {"guards", "protection", "faults", "models", "metrics"},
    "report": BASE | {"report", "metrics"},
    "saliency": BASE | {"saliency", "models", "data", "faults", "metrics"},
    "training": BASE | {"training", "models", "data", "faults", "text"},
    "models": BASE | {"models", "guards", "data", "metrics"},
    "faults": BASE | {"faults", "guards", "metrics"},
    "guards": BASE | {"guards"},
    "text": BASE | {"text"},
    "data": BASE | {"data"},
    "metrics": BASE | {"metrics"},
    "artifacts": {"artifacts", "documents", "errors", "paths", "storage"},
    "published": {"published", "documents", "errors"},
    "naming": set(),
    "paths": {"errors", "storage"},
    "storage": {"storage", "errors"},
    "defaults": set(),
    "seeding": set(),
    "reporting": set(),
    "allocator": set(),
    "cores": set(),
    "pooling": set(),
    "documents": {"errors"},
    "errors": set(),
}


@functools.cache
def imports(source: str) -> frozenset[str]:
    """Return the dotted names a module imports, at its top or within functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def forbidden(layer: str, source: str) -> set[str]:
    """Return what a module of `layer` imports and may not: other layers, or the terminal's libraries."""
    bad = set()
    for name in imports(source):
        parts = name.split(".")
        if parts[0] == "tgr_cli" and len(parts) > 1 and parts[1] != "__version__" and parts[1] not in MAY_IMPORT[layer]:
            bad.add(name)
        if parts[0] in {"typer", "rich", "click"} and layer not in {"app", "api", "commands"}:
            bad.add(name)
        if parts[0] == "click":
            bad.add(name)
    return bad


OUTSIDE = {Path("__init__.py"), Path("__main__.py")}  # the package itself
MODULES = sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE) not in OUTSIDE)


def test_imports_point_one_way() -> None:
    layers = {module: module.parts[0].removesuffix(".py") for module in MODULES}
    found = {module: forbidden(layer, (PACKAGE / module).read_text()) for module, layer in layers.items()}
    assert {module: bad for module, bad in found.items() if bad} == {}


def circles(sources: Mapping[str, str]) -> list[list[str]]:
    """Return the circles of imports among modules given by dotted name, within functions or not; one way round each."""
    needs: dict[str, set[str]] = {}
    for name, source in sources.items():
        modules = {found if found in sources else found.rpartition(".")[0] for found in imports(source)}
        needs[name] = (modules & sources.keys()) - {name}
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as error:
        return [error.args[1]]
    return []


def test_no_module_imports_itself_in_a_circle() -> None:
    names = {
        module: ".".join(("tgr_cli", *module.with_suffix("").parts)).removesuffix(".__init__") for module in MODULES
    }
    assert circles({name: (PACKAGE / module).read_text() for module, name in names.items()}) == []


def test_the_check_of_circles_can_fail() -> None:
    assert circles({"a.b": "from a.c import x", "a.c": "def f():\n    from a import b"}) == [["a.b", "a.c", "a.b"]]


def test_a_step_is_a_command() -> None:
    assert {p.stem for p in (PACKAGE / "steps").glob("[!_]*.py")} == {name.replace("-", "_") for name in COMMANDS}


def test_the_check_of_layers_can_fail() -> None:
    assert forbidden("metrics", "from tgr_cli.steps import inject") == {"tgr_cli.steps.inject"}
    assert forbidden("steps", "import typer") == {"typer"}
    assert forbidden("artifacts", "def f():\n    from tgr_cli.faults import plan") == {"tgr_cli.faults.plan"}


HEAVY = ("torch", "pyarrow", "numpy", "open_clip", "timm", "scipy", "sklearn", "matplotlib", "jinja2")


ANSWER = f"""
import os, sys
from tgr_cli.app import main

def answer(*arguments):
    sys.argv = ["tgr", *arguments]
    try:
        main()
    except SystemExit:
        pass

def loaded_by(*arguments):
    if not os.fork():
        answer(*arguments)
        print("HEAVY", *(name for name in {HEAVY!r} if name in sys.modules), flush=True)
        os._exit(0)
    os.wait()
"""


def loaded_by(*command_lines: tuple[str, ...], preload: str = "") -> list[set[str]]:
    """Return which heavy libraries a process has loaded after answering `tgr ARGUMENTS`, for each command line.

    `preload` runs before, in the process that these are forked from.
    """
    code = "\n".join((ANSWER, preload, *(f"loaded_by(*{arguments!r})" for arguments in command_lines)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [set(line.split()[1:]) for line in done.stdout.splitlines() if line.startswith("HEAVY")]


def test_help_answers_without_the_heavy_libraries() -> None:
    lines = [("--help",), *((command, "--help") for command in COMMANDS)]
    # The first answer loads what all share: Typer, Rich, Pydantic.
    loaded = dict(zip(lines, loaded_by(*lines, preload="answer('datasets', '--help')"), strict=True))
    assert loaded == {line: set() for line in lines}


MISSING: dict[str, set[str]] = {
    "inject --model vgg16_bn": set(),
    "train --model lenet5 --dataset cifar10 --head text": set(),
    "cam --model vgg16_bn": set(),
    "top2diff-sweep --dataset digits": {"pyarrow", "numpy"},  # they read what was measured
    "compare first second --dataset digits": {"pyarrow", "numpy"},
}


def test_what_is_missing_is_told_without_the_slow_libraries(tmp_path: Path) -> None:
    lines = [(*command.split(), "--workdir", str(tmp_path)) for command in MISSING]
    # The first answer loads what all share: Typer, Rich, Pydantic.
    loaded = loaded_by(*lines, preload=f"os.chdir({str(tmp_path)!r}); answer('datasets', '--help')")
    assert len(loaded) == len(MISSING)
    for (command, may_load), found in zip(MISSING.items(), loaded, strict=True):
        assert found <= may_load, command


def test_steps_that_only_read_what_was_measured_do_not_load_torch() -> None:
    steps = ("compare", "datasets", "describe", "embed", "fit", "merge", "protect", "report", "show", "top2diff_sweep")
    (loaded,) = loaded_by(("--help",), preload="\n".join(f"import tgr_cli.steps.{step}" for step in steps))
    assert loaded & {"torch", "open_clip", "timm"} == set()


def test_the_check_of_heavy_libraries_can_fail() -> None:
    (loaded,) = loaded_by(("--help",), preload="import numpy")
    assert "numpy" in loaded
