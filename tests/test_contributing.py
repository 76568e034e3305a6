"""What is written for contributors holds: every file and function it names is there, and its examples run."""

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from test_layers import BASE, MAY_IMPORT
from toys_artifacts import site, write_injections

import tgr_cli
from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import VULNERABILITY
from tgr_cli.data.built_in import READERS
from tgr_cli.models import zoo
from tgr_cli.report.measured import Run

ROOT = Path(__file__).resolve().parents[1]
ADDING = sorted((ROOT / "docs" / "adding").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "tgr_cli" / "faults" / "engines" / "README.md",
    ROOT / "examples" / "README.md",
    *ADDING,
]
PATH = re.compile(r"`((?:tgr_cli|tests|docs|benchmarks|examples|prompts|\.ci)/[\w./-]*)(?:::([\w.]+))?`")
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def named(text: str) -> Iterator[tuple[str, str]]:
    """Give each file or folder that a page names, with what is named in it, as `Class.method` or ""."""
    return ((found[1], found[2] or "") for found in PATH.finditer(text))


def holds(source: str, name: str) -> bool:
    """Return whether a module defines a function, class or method of this name."""
    body: list[ast.stmt] = ast.parse(source).body
    for part in name.split("."):
        inside = [n for n in body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == part]
        if not inside:
            return False
        body = inside[0].body
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wrong = [path for path, _ in named(text) if not (ROOT / path).exists()]
    assert wrong == [], "no such file"
    wrong = [f"{path}::{name}" for path, name in named(text) if name and not holds((ROOT / path).read_text(), name)]
    assert wrong == [], "no such function"
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_check_of_names_can_fail() -> None:
    text = "see `tgr_cli/nowhere.py` and `tgr_cli/faults/limits.py::RangeLimit.apply_all`, not `tgr inject`"
    assert list(named(text)) == [("tgr_cli/nowhere.py", ""), ("tgr_cli/faults/limits.py", "RangeLimit.apply_all")]
    source = (ROOT / "tgr_cli" / "faults" / "limits.py").read_text()
    assert holds(source, "RangeLimit.apply")
    assert not holds(source, "RangeLimit.apply_all")


def test_the_layers_are_those_that_imports_are_held_to() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+\|([^|]*)\|$", page, re.MULTILINE)
    told = {layer: set(re.findall(r"`(\w+)`", imported)) for layer, imported in rows}
    held = {layer: allowed - BASE - {layer} for layer, allowed in MAY_IMPORT.items() if layer not in BASE}
    assert told == held | {"artifacts": set()}
    assert [name for name in sorted(BASE) if f"`{name}`" not in page] == []


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """Return one struck run, as the page on plots takes it."""
    struck = [(site("conv", "conv"), "mmsb", "abcd", [0.0, 0.0, 2.0, 0.1]), (site("fc"), "bbbb", "abcd", [0.1] * 4)]
    (folder := tmp_path / "net-baseline").mkdir()
    write_injections(folder / "injections.parquet", struck, model="0" * 64)
    return [Run("net-baseline", vulnerability=store.read(folder / "vulnerability.parquet", VULNERABILITY))]


@pytest.mark.parametrize("page", ADDING, ids=lambda page: page.stem)
def test_the_worked_examples_run(page: Path, runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [textwrap.dedent(found[2]) for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    assert len(blocks) >= 2
    assert "assert" in blocks[-1]
    for name in ("kmnist", "stripes"):
        monkeypatch.setitem(READERS, name, None)  # taken back at the end
    monkeypatch.setattr(zoo, "ZOO", dict(zoo.ZOO))
    known: dict[str, object] = {"__name__": "worked_example", "runs": runs}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{page.name}, block {number}", "exec"), known)


def test_hooks_and_checks_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(phony.split()) == targets
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    entries = [hook["entry"].split() for repository in hooks for hook in repository["hooks"]]
    assert {repository["repo"] for repository in hooks} == {"local"}  # nothing is fetched
    assert all(entry[0] == "make" and entry[1] in targets for entry in entries)
    (checks,) = re.findall(r"^ALL=\((.*)\)$", (ROOT / ".ci" / "check").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"\n{checks}:\n\t@.ci/check $@\n" in makefile
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").endswith("\n.ci/check\n")  # all of them, without make


def test_one_version_everywhere() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == project["version"] == tgr_cli.__version__
    assert cited["license"] == project["license"]


def test_the_papers_are_cited_under_their_titles() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(cited["references"]) == 3
    for paper in cited["references"]:
        assert f'"{paper["title"]}"' in readme
        assert all(author["family-names"] for author in paper["authors"])
