"""The demo: the whole method end to end, as a new user runs it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from report_pages import draw_only
from toys_artifacts import formats_of, invoke

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import KINDS
from tgr_cli.commands import COMMANDS
from tgr_cli.steps import demo


def test_every_stage_is_a_command_and_every_step_of_the_method_is_there() -> None:
    commands = [stage.arguments[0] for stage in demo.stages(4096)]
    assert set(commands) <= set(COMMANDS)
    assert commands[:2] == ["describe", "embed"]
    assert commands[-3:] == ["top2diff-sweep", "compare", "report"]
    for command in ("train", "evaluate", "profile-ranges", "inject"):
        assert commands.count(command) == len(demo.HEADS)


@pytest.mark.long
def test_the_demo_writes_every_kind_of_artifact_under_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb
    import polars as pl

    # Fewer epochs, of longer steps: enough to classify nine in ten.
    assert demo.TRAINING[:6] == ("--epochs", "15", "--optimizer", "adamw", "--lr", "0.002")
    fewer = ("--epochs", "5", "--optimizer", "adamw", "--lr", "0.004", *demo.TRAINING[6:])
    monkeypatch.setattr(demo, "TRAINING", fewer)
    draw_only(monkeypatch)  # the README's report draws a page of real campaigns
    done = invoke("demo", "--injections", 16)
    assert done.exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["digits"]
    files = sorted((tmp_path / "runs" / "digits").rglob("*.parquet"))
    kinds = [store.describe(path)[1].kind for path in files]
    # The other commands need an option, another package, or several machines.
    others = {"plan", "shard", "feature_maps", "exhaustive", "surface", "text_embeddings", "saliency", "fit"}
    others |= {"protection", "activation_ranges"}
    assert set(kinds) == set(KINDS) - others
    for path in files:
        rows = store.describe(path)[2]
        assert len(pd.read_parquet(path)) == len(pl.read_parquet(path)) == rows
        assert duckdb.execute(f"select count(*) from '{path}'").fetchall() == [(rows,)]
        record = json.loads(store.run_record(path).read_text())
        assert record["command"] in done.stdout  # each file records the demo's command that made it
    without_model = {kind for kind, schema in KINDS.items() if not schema.formats}
    assert without_model == {"descriptions", "embeddings", "text_embeddings"}
    for path, kind in zip(files, kinds, strict=True):
        if kind in ("sweep", "comparison"):
            assert formats_of(path) == dict.fromkeys(demo.RUNS.values(), "float32")
        elif kind not in without_model:
            assert formats_of(path) == "float32"
    for run in demo.RUNS.values():
        golden = pd.read_parquet(tmp_path / "runs" / "digits" / run / "golden.parquet")
        assert (golden["label"] == golden["prediction"]).mean() > 0.9
    assert "baseline / candidate" in done.stdout
    page = tmp_path / "runs" / "digits" / "report.html"
    assert "Improvement over the baseline" in page.read_text()
    assert "Open runs/digits/report.html, then try:" in done.stdout
