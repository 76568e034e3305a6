"""The report's page: nothing is fetched, names stay in their place, and which plots stand where."""

import json
import re
from pathlib import Path

import pytest
from report_pages import Page, draw_only
from toys_artifacts import invoke, site, write_injections
from toys_report import BASELINE, FOLDER, TEXT, both, make, page

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import RANGES
from tgr_cli.report import plotting
from tgr_cli.report.figure import Panel
from tgr_cli.steps.report import Config, run


def test_nothing_is_fetched_run_or_shared_and_equal_artifacts_give_an_equal_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, drawn, svg = both(), dict[tuple[str, ...], str](), plotting.svg

    def once(panel: Panel, *names: str) -> str:  # its data are on the page too; test_plotting draws one panel twice
        key = (panel.key, *names)
        if key not in drawn:
            drawn[key] = svg(panel, *names)
        return drawn[key]

    monkeypatch.setattr(plotting, "svg", once)
    text = run(config).path.read_text(encoding="utf-8")
    assert run(config).path.read_text(encoding="utf-8") == text
    assert len(drawn) > 10
    shown = Page(text)
    assert "fc / head" in shown.text  # a label within a plot
    assert not shown.tags & {"script", "link", "iframe", "img", "object", "embed", "base", "form"}
    assert all(name.startswith(("#", "data:text/csv;")) for name in shown.named)
    assert not re.search(r"@import|url\((?!#)|https?://", re.sub(r"data:[^\"]*", "", text))
    assert "default-src 'none'" in text
    assert len(shown.ids) == len(set(shown.ids))
    assert {name[1:] for name in shown.named if name.startswith("#")} <= set(shown.ids)


def test_names_cannot_leave_their_place() -> None:
    hostile = 'x"><script>alert(1)<&$^{'
    make(hostile, model="base")
    make(TEXT, model="text", head="head")
    write_injections(
        FOLDER / hostile / "injections.parquet",
        [(site("<img src=x>"), "sb", "ab", [1, 1]), (site("--> </style>"), "sb", "ab", [1, 1])],
        model="base",
    )
    (FOLDER / hostile / "ranges.parquet").unlink()
    text = run(Config(runs=[hostile, TEXT], dataset="digits")).path.read_text(encoding="utf-8")
    shown = Page(text)
    assert not shown.tags & {"script", "img"}
    assert text.count("</style>") == 1
    assert hostile in shown.text
    assert {row["model"] for row in shown.csv["vulnerability.csv"]} == {hostile, TEXT}


def test_names_that_a_page_cannot_show_are_written_out_and_stay_whole_in_the_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plotting, "PNG_DPI", 24)  # few pixels are drawn sooner
    strange = "\a\x1b[31m\t\u202e模型" + "n" * 220
    make(strange, model="base")
    for spared in ("ranges", "training"):
        (FOLDER / strange / f"{spared}.parquet").unlink()
    result = run(Config(runs=[strange], dataset="digits", png=Path("plots")))
    text = result.path.read_text(encoding="utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
    assert r"\x07\x1b[31m\t\u202e模型nnn" in Page(text).text
    assert {row["model"] for row in Page(text).csv["sdc-by-bit.csv"]} == {strange}
    assert all(path.exists() for path in result.pictures)
    assert len(set(result.pictures)) == len(result.pictures) > 4


@pytest.mark.parametrize(("shift", "stretched"), [(0.0, False), (0.6, True)])
def test_a_stretched_axis_is_told_where_there_is_one(
    shift: float, stretched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_only(monkeypatch, "accuracy_against_delta", "sdc_by_image")
    make(BASELINE, model="base", wrong="e", shift=shift)
    folder, top2diff = FOLDER / BASELINE, 0.35 + shift
    write_injections(
        folder / "injections.parquet",
        [(site("fc"), "sb", "ab", [1, 1])],
        model="base",
        **{"golden_top2diff": [top2diff + 0.01] * 2},
    )
    for spared in ("ranges", "training"):
        (folder / f"{spared}.parquet").unlink()
    text = page(Config(runs=[BASELINE], dataset="digits")).text
    assert ("is stretched towards 1" in text) == stretched
    assert ("0.999" in text) == stretched


@pytest.mark.usefixtures("undrawn")
def test_models_with_other_sites_have_a_column_each() -> None:
    make(BASELINE, model="base")
    make("other", model="other", head="head")  # sites backbone.conv and head
    result = run(Config(runs=[BASELINE, "other"], dataset="digits"))
    across = 'style="--across: 2"'
    # Their sites correspond, so only re-running has two panels side by side, one per criterion.
    assert result.path.read_text(encoding="utf-8").count(across) == 1

    names = ("one", "two")
    for name in names:
        folder = FOLDER / name
        make(name, model=name)
        ranges = {c: [1.5, 20.25] for c in RANGES.arrow.names} | {"site": [f"{name}.conv", f"{name}.fc"]}
        facts = {"model": name, "classes": store.describe(folder / "golden.parquet")[1].classes}
        extra = {"images": 60, "used": "the train split of toys"}
        store.write(folder / "ranges.parquet", RANGES, ranges, store.provenance_for(RANGES, **facts, extra=extra))
    text = run(Config(runs=names, dataset="digits")).path.read_text(encoding="utf-8")
    assert text.count(across) > 1


@pytest.mark.usefixtures("undrawn")
def test_of_many_models_each_stands_beside_the_first() -> None:
    names = [f"net{number}" for number in range(5)]
    for number, name in enumerate(names):
        make(name, model=name, wrong="abcde"[number % 2], head="fc" if number < 4 else "head")
        for spared in ("ranges", "training", "injections"):
            (FOLDER / name / f"{spared}.parquet").unlink()
    result = run(Config(runs=names, dataset="digits", png=Path("plots")))
    made = {path.name for path in result.pictures}
    assert {f"accuracy_against_delta-{name}.png" for name in names[1:]} <= made
    assert "accuracy_against_delta-net0.png" not in made
    assert made == {path.name for path in Path("plots").iterdir()}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in result.pictures)


@pytest.mark.usefixtures("undrawn")
def test_the_command_tells_where_the_page_is_and_how_it_was_made() -> None:
    both()
    done = invoke("report", BASELINE, TEXT, "--dataset", "digits", "--out", "out/page.html")
    assert (done.exit_code, done.stdout.strip()) == (0, "out/page.html")
    assert json.loads(Path("out/page.run.json").read_text())["artifact"] == "page.html"


@pytest.mark.usefixtures("undrawn")
def test_names_that_a_spreadsheet_takes_for_formulas_are_guarded_in_the_commands_page() -> None:
    make("=1+2", model="base", head="@SUM(A1)")
    make("+cmd|x", model="other", wrong="a", head="-2+3")
    assert invoke("report", "=1+2", "+cmd|x", "--dataset", "digits", "--out", "page.html").exit_code == 0
    tables = Page(Path("page.html").read_text(encoding="utf-8")).csv.values()
    cells = {cell for table in tables for row in table for pair in row.items() for cell in pair if cell}
    assert {"'=1+2", "'+cmd|x", "'@SUM(A1)", "'-2+3"} <= cells
    assert not cells & {"=1+2", "+cmd|x", "@SUM(A1)", "-2+3"}
