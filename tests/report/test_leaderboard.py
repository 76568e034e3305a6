"""`tgr report --leaderboard`: all campaigns under a folder, in a table for each way of measuring."""

import csv
import io
import json
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from toys_artifacts import invoke, site, stored_in, write_golden, write_injections

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.campaign.leaderboard import groups
from tgr_cli.errors import TgrError
from tgr_cli.published.protocols import PROTOCOLS
from tgr_cli.reporting import Reporter
from tgr_cli.steps.report import Config, run

JOINER = "\u2060"  # between the dashes of an option and its name, where no line may end
IMAGES = {"a": 0.5, "b": 0.6, "c": 0.1, "d": 0.2}
AS_PUBLISHED = {**PROTOCOLS["neurips"].options["inject"], "lasting": False}


class Notes(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def measured(
    run: str,
    outcomes: str = "sbb",
    *,
    data: str = "digits",
    top: str = "runs",
    images: dict[str, float] | None = None,
    origin: str = "trained by tgr",
    extra: dict[str, Any] | None = None,
    evaluated: bool = True,
    date: str | None = "2026-11-29",
    **config: Any,
) -> Path:
    """Write a run with two sites and three faults at each, whose outcomes are these letters at the first."""
    form = (extra or {}).get("format")
    folder = RunFolder(Path(top) / data / run, formats=form or "")
    if evaluated:
        write_golden(folder.golden, images or IMAGES, "d", run=run, model=run, extra=extra)
    sites = [(site("conv", "conv"), outcomes, "abc", [3.0, 2.0, 1.0]), (site("fc"), "bbb", "abc", [0.5, 0.5, 0.5])]
    facts = {"run": run, "dataset": data, "used": f"the test split of {data}", "images": 3, "origin": origin}
    path = folder.injections
    write_injections(path, sites, model=run, config=AS_PUBLISHED | config, extra=facts | (extra or {}))
    if date:
        store.run_record(path).write_text(json.dumps({"started": f"{date}T09:00:00+00:00"}))
    return path


def cells(page: str) -> list[list[dict[str, str]]]:
    """Return the rows of every table of the page: the text of its cells by header."""
    found = []
    for table in re.findall(r"<table.*?</table>", page.replace(JOINER, ""), re.DOTALL):
        headers = re.findall(r"<th scope=\"col\"[^>]*>(.*?)</th>", table)
        rows = re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", table)
        texts = [re.findall(r"<t[hd] [^>]*>(.*?)</t[hd]>", row) for row in rows]
        found.append([dict(zip(headers, map(unescape, row), strict=True)) for row in texts])
    return found


def ten() -> None:
    for number in range(8):
        measured(
            f"net{number}-baseline", "sbb" if number % 2 else "bbb", sampling="importance" if number else "uniform"
        )
    measured("odd-baseline", "ssb", origin="random weights", date=None)
    measured("new-baseline", "sss", origin="a checkpoint", evaluated=False, injections=64)


@pytest.fixture
def page() -> str:
    ten()
    return run(Config(leaderboard=Path("runs"))).path.read_text(encoding="utf-8")


def test_every_campaign_has_a_row_with_what_is_known_of_it(page: str) -> None:
    (table,) = cells(page)
    assert len(table) == 10
    rows = {row["model"]: row for row in table}
    assert [row["model"] for row in table][-3:] == ["net7-baseline", "○ odd-baseline", "new-baseline"]  # by SDC rate
    first = rows["net0-baseline"]
    assert (first["accuracy"], first["faults"], first["format"]) == ("75.00\u00a0% of 4", "6", "float32")
    assert first["SDC rate"].startswith("~0.00\u00a0% (0.00 to ")
    assert first["mean dLoss (nats)"].startswith("~1.25 (")  # the mean of 2 and 0.5
    assert (first["protocol"], first["weights"], first["date"]) == ("NeurIPS 2023", "trained by tgr", "2026-11-29")
    assert first["tgr"] == store.describe(Path("runs/digits/net0-baseline/injections.parquet"))[1].tgr
    assert rows["net1-baseline"]["SDC rate"].startswith("~16.67")
    assert rows["net1-baseline"]["protocol"] == "NeurIPS 2023, but --sampling importance"
    odd = rows["○ odd-baseline"]
    assert (odd["weights"], odd["date"]) == ("random weights", "–")
    assert (rows["new-baseline"]["accuracy"], rows["new-baseline"]["weights"]) == ("–", "a checkpoint")
    assert rows["new-baseline"]["protocol"] == "NeurIPS 2023, but --injections 64"
    assert "1 model has random weights, marked ○" in page
    assert "cannot be compared" not in page


def test_the_page_loads_nothing_and_names_its_one_script_by_hash(page: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)[0]
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert unescape(policy) == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not re.search(r"https?://|\bon\w+=|<link|<img|<iframe", page)
    keys = re.findall(r'<td data-key="([^"]*)" class="numeric">', page)
    assert all(key == "" or float(key) >= 0 for key in keys)
    assert run(Config(leaderboard=Path("runs"))).path.read_text(encoding="utf-8") == page


def test_the_data_are_on_the_page_in_full(page: str) -> None:
    (link,) = re.findall(r'href="data:text/csv;charset=utf-8;base64,([^"]*)"', page)
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(b64decode(unescape(link)).decode()))}
    assert float(rows["net1-baseline"]["sdc_rate"]) == pytest.approx(1 / 6)
    assert float(rows["net1-baseline"]["sdc_rate_low"]) < 1 / 6 < float(rows["net1-baseline"]["sdc_rate_high"])
    assert (rows["odd-baseline"]["random"], rows["new-baseline"]["accuracy"]) == ("True", "")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"limit": "zero"}, "limit (zero, not clamp)"),
        ({"all_images": True}, "all-images (True, not False)"),
        ({"extra": stored_in("int8")}, "format (int8, not float32)"),
        ({"images": {"a": 0.5, "x": 0.4}}, "other images"),
        ({"data": "mnist"}, "other images"),
    ],
)
def test_campaigns_that_compare_would_refuse_are_in_tables_of_their_own(other: dict[str, Any], said: str) -> None:
    measured("one-baseline")
    measured("two-baseline", "bbb", injections=64, sampling="importance")  # which may be compared
    measured("three-baseline", **({"evaluated": "data" not in other} | other))
    page = run(Config(leaderboard=Path("runs"))).path.read_text(encoding="utf-8")
    assert [[row["model"] for row in table] for table in cells(page)] == [
        ["two-baseline", "one-baseline"],
        ["three-baseline-int8" if "int8" in said else "three-baseline"],
    ]
    assert f"Not comparable with the first table: {said}." in unescape(page)
    assert "Measured in 2 ways that cannot be compared" in page


def test_a_model_in_two_formats_does_not_join_the_tables_of_both() -> None:
    """compare takes one model in two formats; a third model may be compared with one of them alone."""
    for model, extra in (("one", {}), ("one", stored_in("int8")), ("two", {}), ("three", stored_in("int8"))):
        measured(f"{model}-baseline", extra=extra)
    found = groups(Path("runs"), Notes())
    assert [[row["model"] for row in group.rows] for group in found] == [
        ["one-baseline-int8", "three-baseline-int8"],
        ["one-baseline", "two-baseline"],
    ]


def test_one_name_in_two_workspaces_has_its_path() -> None:
    for top in ("runs/old", "runs/new"):
        measured("net-baseline", top=top)
    (group,) = groups(Path("runs"), Notes())
    assert [row["model"] for row in group.rows] == [
        f"net-baseline ({top}/digits/net-baseline)" for top in ("new", "old")
    ]


def test_without_a_range_limit_there_is_no_mean_dloss() -> None:
    measured("net-baseline", limit="none")
    ((row,),) = cells(run(Config(leaderboard=Path("runs"))).path.read_text(encoding="utf-8"))
    assert (row["mean dLoss (nats)"], row["protocol"]) == ("–", "own")


def test_what_cannot_be_shown_is_left_out_and_said() -> None:
    measured("good-baseline")
    measured("list-baseline", sampling="list")
    measured("half-baseline").with_name("vulnerability.parquet").unlink()
    path = measured("damaged-baseline")
    path.write_bytes(path.read_bytes()[:-400] + b"\0" * 390 + path.read_bytes()[-10:])
    notes = Notes()
    (group,) = groups(Path("runs"), notes)
    assert [row["model"] for row in group.rows] == ["good-baseline"]
    told = " ".join(notes.said)
    assert "digits/list-baseline/injections.parquet is left out: it ran a list of faults" in told
    assert "digits/half-baseline/injections.parquet is left out: vulnerability.parquet is not beside it" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--leaderboard nowhere", "--leaderboard is nowhere, which is no folder; name the one that holds the runs"),
        ("--leaderboard .", 'holds no campaign; run "tgr inject" first'),
        ("--leaderboard . net", "--leaderboard is of all campaigns under a folder; leave it out, or the runs"),
        ("--leaderboard . --png plots", "--png is of plots, and a leaderboard has none"),
        ("--leaderboard . --out page.parquet", "name a file that ends in .html"),
        ("--dataset digits", "there is no run to report on"),
    ],
)
def test_each_mistake_is_told_in_a_sentence(options: str, words: str) -> None:
    Path("runs/digits/net").mkdir(parents=True)
    with pytest.raises(TgrError, match=re.escape(words)):
        invoke("report", *options.split())
    assert not list(Path().glob("*.html"))


def test_the_command_writes_the_page_into_the_folder_or_elsewhere() -> None:
    measured("net-baseline")
    assert invoke("report", "--leaderboard", "runs").stdout == "runs/leaderboard.html\n"
    invoke("report", "--leaderboard", "runs", "--out", "board.html", "--quiet")
    assert Path("board.html").read_bytes() == Path("runs/leaderboard.html").read_bytes()
