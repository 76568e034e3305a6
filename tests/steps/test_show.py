"""`tgr show`: summaries of descriptions and embeddings; first rows of other kinds."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tgr_cli.app import app
from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import sha256_names
from tgr_cli.artifacts.schemas import DESCRIPTIONS, GOLDEN
from tgr_cli.data.source import DataSource
from tgr_cli.steps import describe, embed, show

DIGITS = DataSource(dataset="digits")


def _show(*arguments: object, columns: int = 80) -> Any:
    return CliRunner().invoke(app, ["show", *map(str, arguments)], env={"COLUMNS": str(columns)})


def _gaps(path: Path) -> Path:
    """Write descriptions of digits with gaps: "one" has a null, "three" lacks a question, "seven" has no row."""
    artifact = store.read(describe.run(describe.Config(data=DIGITS)).path, DESCRIPTIONS)
    rows = []
    for row in artifact.table.to_pylist():
        if row["class_index"] == 7:
            continue
        if row["class_index"] == 1 or (row["class_name"] == "three" and "corners" in row["question"]):
            row |= {"description": None, "status": "refused"}
        rows.append(row)
    columns = {name: [row[name] for row in rows] for name in DESCRIPTIONS.arrow.names}
    return store.write(path, DESCRIPTIONS, columns, artifact.provenance)


def test_descriptions_show_their_gaps(tmp_path: Path) -> None:
    said = json.loads(_show(_gaps(tmp_path / "gaps.parquet"), "--json").stdout)["digest"]
    assert (said["classes"], said["whole"], said["absent"]) == (9, False, [7])
    assert (said["descriptions"], said["missing"], said["without"]) == (39, 6, ["one"])
    assert said["status"] == {"ok": 39, "refused": 6}
    assert said["sources"] == {"stored": 45}
    assert [(q["rows"], q["missing"]) for q in said["questions"]] == [(9, 1), (9, 1), (9, 2), (9, 1), (9, 1)]
    assert said["questions"][2]["example"].startswith("Where does the digit zero have closed loops, corners")
    counts = {line["class"]: line["descriptions"] for line in said["per_class"]}
    assert (counts["zero"], counts["one"], counts["three"], counts["nine"]) == (5, 0, 4, 5)
    assert [line["class_name"] for line in said["sample"]] == ["zero", "two", "four", "five", "eight"]


def test_descriptions_read_well_at_80_columns(tmp_path: Path) -> None:
    printed = _show(_gaps(tmp_path / "gaps.parquet"), "--rows", 2).stdout
    rules = [line for line in printed.splitlines() if line.startswith("─")]  # as wide as their tables
    assert 0 < max(map(len, rules)) <= 80
    assert re.search(r"^status +ok 39, refused 6$", printed, re.MULTILINE)
    assert "Without any description: one\n" in printed
    assert "The data set has classes that this file has no row of, among them 7.\n" in printed
    sample = printed.split("Sample\n")[1].splitlines()[:3]
    assert [line.split(":")[0] for line in sample] == ["  zero", "  five", "Columns"]


def test_whole_descriptions_say_so_in_one_line() -> None:
    path = describe.run(describe.Config(data=DataSource(dataset="imagenet"), source="template")).path
    printed = _show(path).stdout
    assert "Every class has 1 description." in printed
    assert "no row of" not in printed
    assert "By question" in printed
    assert "a photo of {a_class}" in printed


def test_embeddings_show_their_closest_classes_and_texts() -> None:
    describe.run(describe.Config(data=DIGITS))
    result = embed.run(embed.Config(data=DIGITS, encoder="tfidf", keep_all=True))
    shown = show.run(result.path)
    assert shown.digest == result.digest
    said = json.loads(_show(result.path, "--json").stdout)["digest"]
    assert (said["classes"], said["dim"], said["texts"]) == (10, 50, 50)
    assert said["closest"][0] | {"cosine": 0} == {
        "first": "six",
        "second": "nine",
        "cosine": 0,
        "first_index": 6,
        "second_index": 9,
    }
    assert [line["class_index"] for line in said["spreads"]] == list(range(10))
    printed = _show(result.path).stdout
    assert "\n6 six, 9 nine " in printed
    assert "embedding=" not in printed
    least = min(said["spreads"], key=lambda line: line["spread"])
    assert printed.split("agree least")[1].splitlines()[3].startswith(f"{least['class_index']} {least['class']} ")

    texts = json.loads(_show(result.all_path, "--json", "--rows", 3).stdout)["digest"]
    assert (texts["classes"], texts["texts"], texts["dim"], len(texts["farthest"])) == (10, 50, 50, 3)
    rows = store.read(result.all_path, store.KINDS["text_embeddings"]).table.to_pylist()
    lowest = min(rows, key=lambda row: row["cosine"])
    assert texts["farthest"][0]["text"] == lowest["text"]
    assert lowest["text"] in _show(result.all_path).stdout


def test_kinds_without_a_digest_show_their_first_rows(tmp_path: Path) -> None:
    row = {"image_id": "a.png", "label": 1, "prediction": 1, "loss": 0.5, "top1": 0.6, "top2": 0.3, "top2diff": 0.3}
    columns = {name: [value] for name, value in (row | {"rank_of_label": 0}).items()}
    path = store.write(tmp_path / "golden.parquet", GOLDEN, columns, store.provenance_for(GOLDEN))
    assert "image_id=a.png, label=1, prediction=1" in _show(path).stdout
    assert json.loads(_show(path, "--json").stdout)["digest"] is None


@pytest.mark.parametrize("classes", [None, sha256_names(("other",))])
def test_an_empty_file_is_shown_too(tmp_path: Path, classes: str | None) -> None:
    provenance = replace(store.provenance_for(DESCRIPTIONS), classes=classes)
    columns = {name: [] for name in DESCRIPTIONS.arrow.names}
    path = store.write(tmp_path / "none.parquet", DESCRIPTIONS, columns, provenance)
    assert "descriptions, version 2, 0 rows" in _show(path).stdout
