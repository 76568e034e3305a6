"""The Python that the README and docs/api.md show runs as it is printed."""

import re
from pathlib import Path
from typing import Any

import pytest
from toys import toy_net, toy_tensors

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str) -> str:
    found = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found, f"{page} shows no Python"
    return "\n".join(found)


def test_the_page_of_the_api_runs_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(compile(blocks("docs/api.md"), "docs/api.md", "exec"), names)
    assert "Estimate(mean=" in capsys.readouterr().out
    assert names["worst"] in ("0", "3")
    assert sorted(path.name for path in Path("runs").glob("*/*")) == [
        "plain-baseline",
        "plain-baseline",
        "relu6-baseline",
    ]


def test_the_readme_s_lines_run() -> None:
    x, y = toy_tensors()
    names: dict[str, Any] = {"model": toy_net(), "x": x, "y": y}
    exec(compile(blocks("README.md"), "README.md", "exec"), names)
    assert (Path("runs") / "mine" / "robust-baseline" / "injections.parquet").exists()
