import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_pages import Notes, Page, draw_only
from toys_artifacts import invoke, site, write_golden, write_injections

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import COMPARISON, GOLDEN, RANGES, TRAINING, VULNERABILITY
from tgr_cli.errors import TgrError
from tgr_cli.report import plotting
from tgr_cli.report.figure import Panel
from tgr_cli.steps import compare, top2diff_sweep
from tgr_cli.steps.report import Config, run

FOLDER = Path("runs/digits")
BASELINE, TEXT = "net-baseline", "net-text-descriptions"
IMAGES = {"a": 0.5, "b": 0.6, "c": 0.1, "d": 0.2, "e": 0.9}


def make(name: str, *, model: str, wrong: str = "", head: str = "fc", shift: float = 0.0, limit: str = "clamp") -> None:
    """Write every artifact of a run: two sites, eight faults each, on the correctly classified images."""
    folder, prefix = FOLDER / name, "backbone." if head == "head" else ""
    top2diff = {image: min(value + shift, 1.0) for image, value in IMAGES.items()}
    write_golden(folder / "golden.parquet", top2diff, wrong, run=name, model=model)
    right = [image for image in IMAGES if image not in wrong]
    struck = "".join((right * 8)[:8])
    dloss = [0.1, 0.5, 2.0, 0.3, None, 0.0, 0.7, 0.4]
    sites = [site(f"{prefix}conv", "conv", neurons=400, macs=1000), site(head)]
    write_injections(
        folder / "injections.parquet",
        [(sites[0], "sbbmnbsb", struck, dloss), (sites[1], "ssbmnbbb", struck, dloss[::1])],
        model=model,
        limit=limit,
        golden_top2diff=[top2diff[image] for image in struck] * 2,
    )
    facts = {"model": model, "classes": store.describe(folder / "golden.parquet")[1].classes}
    ranges = {c: [1.5, 20.25] for c in RANGES.arrow.names} | {"site": [each["site"] for each in sites]}
    extra = {"images": 60, "used": "the train split of toys"}
    store.write(folder / "ranges.parquet", RANGES, ranges, store.provenance_for(RANGES, **facts, extra=extra))
    training = {c: [0.75, 0.5, 0.25] for c in TRAINING.arrow.names} | {"epoch": [1, 2, 3]}
    store.write(folder / "training.parquet", TRAINING, training, store.provenance_for(TRAINING, **facts))
    for what in ("golden", "injections"):
        record = {"command": f"tgr {what} --model {name}"}
        store.run_record(folder / f"{what}.parquet").write_text(json.dumps(record))


def both() -> Config:
    make(BASELINE, model="base", wrong="d")
    make(TEXT, model="text", wrong="a", head="head", shift=0.05)
    return Config(runs=[BASELINE, TEXT], dataset="digits")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the plots out: these tests read words, tables and data."""
    draw_only(monkeypatch)


def page(config: Config) -> Page:
    return Page(run(config).path.read_text(encoding="utf-8"))


def column(rows: list[dict[str, str]], name: str) -> list[float | None]:
    return [float(row[name]) if row[name] else None for row in rows]


def stored(name: str, schema) -> dict[str, list]:
    return store.read(FOLDER / name / f"{schema.kind}.parquet", schema).table.to_pydict()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("file", "schema"), [("vulnerability", VULNERABILITY), ("ranges", RANGES), ("training", TRAINING)]
)
def test_each_number_of_a_stored_row_is_that_of_its_artifact(file: str, schema) -> None:
    shown = page(both()).csv[f"{file}.csv"]
    for name in (BASELINE, TEXT):
        rows, artifact = [row for row in shown if row["model"] == name], stored(name, schema)
        numbers = [c.name for c in schema.columns if c.name in rows[0] and str(c.type) in ("double", "int64")]
        assert len(numbers) > 5
        for each in numbers:
            assert column(rows, each) == artifact[each]
        if "site" in artifact:
            assert [row["site"] for row in rows] == artifact["site"]


@pytest.mark.usefixtures("undrawn")
def test_the_comparison_is_that_of_compare_whether_stored_or_computed() -> None:
    config = both()
    computed = run(config).path.read_bytes()
    rows = compare.run(compare.Config(baseline=BASELINE, candidates=[TEXT], dataset="digits")).rows
    assert run(config).path.read_bytes() == computed
    shown = Page(computed.decode()).csv["improvement.csv"]
    assert len(shown) == len(rows) == 2
    for cells, row in zip(shown, rows, strict=True):
        assert cells == {name: "" if row[name] is None else str(row[name]) for name in COMPARISON.arrow.names}


@pytest.mark.usefixtures("undrawn")
def test_a_stored_comparison_of_other_artifacts_is_not_used() -> None:
    config = both()
    compare.run(compare.Config(baseline=BASELINE, candidates=[TEXT], dataset="digits"))
    make(TEXT, model="text", wrong="b", head="head", shift=0.05)
    rows = compare.run(
        compare.Config(baseline=BASELINE, candidates=[TEXT], dataset="digits", out=Path("other.parquet"))
    ).rows
    assert page(config).csv["improvement.csv"][0]["overall"] == str(rows[0]["overall"])


@pytest.mark.usefixtures("undrawn")
def test_thresholds_say_what_the_sweep_says() -> None:
    shown = page(both()).csv
    swept = top2diff_sweep.run(top2diff_sweep.Config(run=[BASELINE, TEXT], dataset="digits")).rows
    kept = {(row["model"], float(row["delta"])): float(row["accuracy"]) for row in shown["accuracy-against-delta.csv"]}
    rerun = {(r["model"], r["criterion"], float(r["threshold"])): r for r in shown["coverage-against-overhead.csv"]}
    assert len(rerun) > len(swept) == 2 * 2 * 101
    for row in swept:
        if row["criterion"] == "top2diff" and row["threshold"] <= 0.4:
            assert kept[row["model"], row["threshold"]] == row["accuracy"]
        cells = rerun[row["model"], row["criterion"], row["threshold"]]
        for name in ("overhead", "coverage", "coverage_golden"):
            for end in ("", "_low", "_high"):
                assert float(cells[name + end]) == row[name + end]
        assert (cells["count_by"], cells["operations"]) == (row["count_by"], row["operations"]) == ("neurons", "conv")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("count_by", "words"), [("neurons", "neurons alike over conv"), ("sites", "sites alike over")])
def test_re_running_is_told_by_both_criteria_and_what_counts(count_by: str, words: str) -> None:
    make(BASELINE, model="base", wrong="d")
    arguments = ("report", BASELINE, "--dataset", "digits", "--count-by", count_by, "-q")
    text = Page(Path(invoke(*arguments).stdout.strip()).read_text(encoding="utf-8")).text
    assert words in text
    assert "90\xa0% of SDCs caught by running again ~\xa0" in text
    assert re.search(r"by Top2Diff below 0.51; ~\s[\d.]+\s% \([\d.]+\s% to [\d.]+\s%\) by Top1Conf below 0.51", text)


@pytest.mark.usefixtures("undrawn")
def test_runs_that_no_factor_compares_are_left_out_of_the_comparison_and_that_is_said() -> None:
    config = both()
    make(TEXT, model="text", wrong="a", head="head", shift=0.05, limit="zero")
    shown = page(config)
    assert "improvement.csv" not in shown.csv
    assert "was injected with --limit zero, net-baseline with clamp, so the two are not compared" in shown.text
    assert '"--allow-different limit" compares them all the same' in shown.text
    allowed = page(replace(config, allow_different=["limit"]))
    assert len(allowed.csv["improvement.csv"]) == 2
    assert "was injected with --limit zero, net-baseline with clamp." in allowed.text
    compare.run(compare.Config(baseline=BASELINE, candidates=[TEXT], dataset="digits", allow_different=["limit"]))
    assert "improvement.csv" in page(config).csv  # as allowed when it was made


@pytest.mark.usefixtures("undrawn")
def test_bits_and_images_add_up_to_the_rows_of_injections() -> None:
    shown = page(both()).csv
    for name in (BASELINE, TEXT):
        sites, golden = stored(name, VULNERABILITY), stored(name, GOLDEN)
        (bit,) = (row for row in shown["sdc-by-bit.csv"] if row["model"] == name)
        assert (bit["bit"], int(bit["rows"])) == ("0", sum(sites["faults"]))
        # With uniform sampling and sites of equal size, the share of a bit is the mean over sites.
        assert float(bit["sdc"]) == pytest.approx(np.mean(sites["sdc_rate"]))
        assert float(bit["failure"]) == pytest.approx(np.mean(sites["failure_rate"]))
        images = [row for row in shown["sdc-by-image.csv"] if row["model"] == name]
        assert sum(int(row["rows"]) for row in images) == sum(sites["faults"])
        for row in images:
            assert float(row["top2diff"]) == golden["top2diff"][golden["image_id"].index(row["image_id"])]


@pytest.mark.usefixtures("undrawn")
def test_the_page_says_what_it_found_in_words() -> None:
    shown = page(both())
    assert "2 models on digits, struck with 32 faults in all" in shown.text
    assert "net-baseline: 80.00\xa0% of 5 images right without a fault" in shown.text
    assert "net-text-descriptions against net-baseline:" in shown.text
    assert "rests on too little" in shown.text
    assert "tgr injections --model net-baseline" in re.sub(r"\s+", " ", shown.text)
    assert "makes them" not in shown.text


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


def test_figures_that_there_are_none_of_are_said_so(request: pytest.FixtureRequest) -> None:
    make(BASELINE, model="base")
    make("gone", model="gone")
    folder = FOLDER / "gone"
    write_injections(folder / "injections.parquet", [(site("fc"), "nnnn", "abcd", [None] * 4)], model="gone")
    (folder / "ranges.parquet").unlink()
    shown = page(Config(runs=[BASELINE, "gone"], dataset="digits"))
    assert "there is no mean dLoss, as no outcome at some site is finite" in shown.text
    assert "– no factor, as one of the figures is 0 or missing" in shown.text

    request.getfixturevalue("undrawn")
    write_injections(folder / "injections.parquet", [(site("fc"), "b", "a", [0.5])], model="gone")
    shown = page(Config(runs=["gone"], dataset="digits"))
    assert "a mean dLoss of 0.500 nats, which rests on too little" in shown.text
    assert "None" not in shown.text


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
def test_what_is_missing_is_named_with_the_command_that_makes_it() -> None:
    config = both()
    for name, files in ((TEXT, ("ranges", "training")), (BASELINE, ("training",))):
        for file in files:
            (FOLDER / name / f"{file}.parquet").unlink()
    for file in ("injections", "vulnerability"):
        (FOLDER / TEXT / f"{file}.parquet").unlink()
    shown = page(config)
    assert 'No ranges of net-text-descriptions; "tgr profile-ranges" makes them.' in shown.text
    assert 'No training of net-baseline and net-text-descriptions; "tgr train" makes them.' in shown.text
    assert 'No injections of net-text-descriptions; "tgr inject" makes them.' in shown.text
    assert {row["model"] for row in shown.csv["ranges.csv"]} == {BASELINE}
    assert not {"training.csv", "improvement.csv"} & shown.csv.keys()


@pytest.mark.usefixtures("undrawn")
def test_one_run_stands_alone() -> None:
    both()
    shown = page(Config(runs=[BASELINE], dataset="digits"))
    assert "There is one run; name more, the baseline first, for a comparison." in shown.text
    assert len(shown.csv["vulnerability.csv"]) == 2


@pytest.mark.usefixtures("undrawn")
def test_without_a_range_limit_there_is_no_mean_dloss() -> None:
    make(BASELINE, model="base", limit="none")
    shown = page(Config(runs=[BASELINE], dataset="digits"))
    assert "mean dLoss (nats)" not in shown.text
    assert "a mean dLoss of" not in shown.text
    assert "Without a range limit a few faults dominate every mean dLoss" in shown.text


@pytest.mark.usefixtures("undrawn")
def test_outcomes_that_no_factor_counts_are_counted_in_words() -> None:
    shown = page(both())
    assert f"so no factor counts them: 2 of {BASELINE} and 2 of {TEXT}." in shown.text


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


def test_a_place_for_pictures_that_is_none_is_told_before_the_page_is_written() -> None:
    make(BASELINE, model="base")
    Path("plots").write_text("in the way")
    with pytest.raises(TgrError, match="--png is plots, which cannot be a folder"):
        run(Config(runs=[BASELINE], dataset="digits", png=Path("plots")))
    assert not Path("runs/digits/report.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_the_command_tells_where_the_page_is_and_how_it_was_made() -> None:
    both()
    done = invoke("report", BASELINE, TEXT, "--dataset", "digits", "--out", "out/page.html")
    assert (done.exit_code, done.stdout.strip()) == (0, "out/page.html")
    assert json.loads(Path("out/page.run.json").read_text())["artifact"] == "page.html"


@pytest.mark.usefixtures("undrawn")
def test_curves_of_other_weights_are_left_out_and_said() -> None:
    config = both()
    curves = {c: [0.5] for c in TRAINING.arrow.names} | {"epoch": [1]}
    store.write(FOLDER / TEXT / "training.parquet", TRAINING, curves, store.provenance_for(TRAINING, model="new"))
    notes = Notes()
    shown = Page(run(config, notes).path.read_text(encoding="utf-8"))
    assert any("net-text-descriptions: its training curves are left out" in said for said in notes.said)
    assert {row["model"] for row in shown.csv["training.csv"]} == {BASELINE}


def empty() -> Config:
    (FOLDER / "net-empty").mkdir(parents=True)
    return Config(runs=["net-empty"], dataset="digits")


def other_model() -> Config:
    config = both()
    write_golden(FOLDER / TEXT / "golden.parquet", IMAGES, run=TEXT, model="new")
    return config


def other_images() -> Config:
    config = both()
    for file in ("injections", "vulnerability"):
        (FOLDER / TEXT / f"{file}.parquet").unlink()
    write_golden(FOLDER / TEXT / "golden.parquet", {"z": 0.5}, run=TEXT, model="text")
    return config


def other_injections() -> Config:
    config = both()
    struck = [(site("fc"), "s", "a", [1])]
    path = write_injections(Path("elsewhere/injections.parquet"), struck, model="base")
    (FOLDER / BASELINE / "injections.parquet").write_bytes(path.read_bytes())
    return config


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Config(runs=[], dataset="digits"), "there is no run to report on; name at least one"),
        (lambda: Config(runs=["net"], dataset="digits"), 'there is no run "net" in runs/digits'),
        (empty, r'net-empty has no artifacts for a report; run "tgr evaluate" or "tgr inject"'),
        (other_model, r"ranges.parquet was made with the model text|injections.parquet was made with the model text"),
        (other_images, r"holds 5 images, .*golden.parquet 1"),
        (other_injections, r'vulnerability.parquet was not made from .*injections.parquet; run "tgr inject" again'),
        (lambda: Config(runs=[*both().runs, BASELINE], dataset="digits"), 'two of the runs are called "net-baseline"'),
        (
            lambda: Config(runs=both().runs, dataset="digits", out=Path("x.parquet")),
            r"--out is x.parquet, and the report is a page; name a file that ends in .html",
        ),
    ],
)
def test_each_mistake_is_told_in_a_sentence(made, words) -> None:
    with pytest.raises(TgrError, match=words):
        run(made())
    assert not list(Path().glob("**/*.html"))


@pytest.mark.usefixtures("undrawn")
def test_names_that_a_spreadsheet_takes_for_formulas_are_guarded_in_the_commands_page() -> None:
    make("=1+2", model="base", head="@SUM(A1)")
    make("+cmd|x", model="other", wrong="a", head="-2+3")
    assert invoke("report", "=1+2", "+cmd|x", "--dataset", "digits", "--out", "page.html").exit_code == 0
    tables = Page(Path("page.html").read_text(encoding="utf-8")).csv.values()
    cells = {cell for table in tables for row in table for pair in row.items() for cell in pair if cell}
    assert {"'=1+2", "'+cmd|x", "'@SUM(A1)", "'-2+3"} <= cells
    assert not cells & {"=1+2", "+cmd|x", "@SUM(A1)", "-2+3"}
