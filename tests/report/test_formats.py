"""The report on models in several number formats: by bit and field of each, side by side, and which are shown."""

import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from report_pages import Notes, Page, draw_only
from toys_artifacts import invoke, site, stored_in, write_golden, write_injections

from tgr_cli.errors import TgrError
from tgr_cli.metrics.intervals import wilson
from tgr_cli.report import page as pages
from tgr_cli.report.theme import LIGHT
from tgr_cli.steps.report import Config, run

NET = Path("runs/digits/net-baseline")
IMAGES = {"a": 0.5, "b": 0.6, "c": 0.1, "d": 0.2}
INT8 = stored_in("int8")
FLOAT16 = stored_in("float16", 16, exponent=[10, 14], mantissa=[0, 9], sign=[15, 15])  # as JSON sorts them
POSIT = stored_in("posit8", sign=[7, 7], body=[0, 6])
NAME = "net-baseline"


def measured(
    suffix: str,
    extra: dict[str, Any],
    bits: list[int],
    outcomes: str = "sbbs",
    *,
    wrong: str = "d",
    limit: str = "clamp",
    images: dict[str, float] = IMAGES,
    **config: object,
) -> None:
    """Write a measurement: four faults of these bits and outcomes at one site, on the images a, b, c and a."""
    told = {name: extra[name] for name in ("format", "rounded", "weight_format") if name in extra}
    write_golden(NET / f"golden{suffix}.parquet", images, wrong, run=NAME, model="net", extra=told)
    struck = [(site("fc"), outcomes, "abca", [1, 2, 3, 2])]
    write_injections(
        NET / f"injections{suffix}.parquet", struck, model="net", limit=limit, bits=bits, extra=extra, config=config
    )


def three() -> None:
    measured("", {}, [31, 24, 3, 24])
    measured("-int8", INT8, [7, 6, 0, 0], "bbss", wrong="cd", limit="format")
    measured("-posit8", POSIT, [7, 2, 1, 2], "mmmm")


def page(*names: str, notes: Notes | None = None, **config: Any) -> Page:
    made = run(Config(runs=names or [NAME], dataset="digits", **config), notes or Notes())
    return Page(made.path.read_text(encoding="utf-8"))


@pytest.mark.usefixtures("undrawn")
def test_a_run_is_shown_with_its_deployments_unless_one_is_named() -> None:
    three()
    shown = page()
    assert [row["model"] for row in shown.csv["formats.csv"]] == [NAME, f"{NAME}-int8", f"{NAME}-posit8"]
    assert "1 model on digits, measured in 3 ways, struck with 12 faults in all: net-baseline, net-base" in shown.text
    assert len(shown.csv["improvement.csv"]) >= 2
    assert 'No training of net-baseline; "tgr train" makes them.' in shown.text  # which a deployment has none of
    two = page(NAME, f"{NAME}-posit8")
    assert {row["model"] for row in two.csv["vulnerability.csv"]} == {NAME, f"{NAME}-posit8"}
    assert "formats.csv" not in page(f"{NAME}-int8").csv


@pytest.mark.usefixtures("undrawn")
def test_a_deployment_that_was_not_named_and_does_not_fit_is_left_out_and_that_is_said() -> None:
    three()
    measured("-int8", INT8, [7, 6, 0, 0], images={"a": 0.5, "b": 0.6, "c": 0.1}, wrong="", limit="format")
    notes = Notes()
    shown = page(notes=notes)
    assert {row["model"] for row in shown.csv["formats.csv"]} == {NAME, f"{NAME}-posit8"}
    (said,) = [said for said in notes.said if "is left out" in said]
    assert said.startswith(f"{NAME}-int8, which was not named, is left out: ")
    assert "holds 4 images" in said
    with pytest.raises(TgrError, match="holds 4 images"):
        page(NAME, f"{NAME}-int8")


@pytest.mark.usefixtures("undrawn")
def test_a_model_that_was_measured_in_deployments_only_is_shown_with_these() -> None:
    three()
    for kind in ("golden", "injections", "vulnerability"):
        (NET / f"{kind}.parquet").unlink()
    notes = Notes()
    shown = page(notes=notes)
    assert [row["format"] for row in shown.csv["formats.csv"]] == ["int8", "posit8"]
    assert f"{NAME} was measured as it is deployed only: {NAME}-int8 and {NAME}-posit8" in notes.said
    assert {row["baseline"] for row in shown.csv["improvement.csv"]} == {f"{NAME}-int8"}
    for kind in ("int8", "posit8"):
        (NET / f"vulnerability-{kind}.parquet").unlink()
    with pytest.raises(TgrError, match="no measurement of net-baseline can be shown, as told above; measure them"):
        page(notes=notes)
    assert f"{NAME}-posit8, which was not named, is left out: " in notes.said[-1]


@pytest.mark.usefixtures("undrawn")
def test_formats_stand_side_by_side_with_intervals() -> None:
    three()
    rows = page().csv["formats.csv"]
    assert [row["format"] for row in rows] == ["float32", "int8", "posit8"]
    assert [row["fault_model"] for row in rows] == ["flip"] * 3
    for row, right in zip(rows, (3, 2, 3), strict=True):
        found = [float(row[f"accuracy{end}"]) for end in ("", "_low", "_high")]
        assert found == pytest.approx([right / 4, *wilson(right, 4)])
    assert [float(row["sdc_rate"]) for row in rows] == [0.5, 0.5, 0.0]
    assert [float(row["mean_dloss"]) for row in rows] == [2.0] * 3
    for row in rows:
        for name in ("accuracy", "sdc_rate", "mean_dloss"):
            assert float(row[f"{name}_low"]) <= float(row[name]) <= float(row[f"{name}_high"])


@pytest.mark.usefixtures("undrawn")
def test_models_of_one_format_have_no_panel_and_weights_are_a_format_too() -> None:
    measured("", {}, [31, 24, 3, 24])
    shown = page()
    assert "Formats side by side" not in shown.text
    measured("-weights-int8-channel", {"weight_format": "int8:channel"}, [31, 24, 3, 24])
    rows = page().csv["formats.csv"]
    assert [row["format"] for row in rows] == ["float32", "float32, weights in int8:channel"]


@pytest.mark.usefixtures("undrawn")
def test_without_a_limit_there_is_no_mean_dloss_of_that_format_alone() -> None:
    three()
    measured("", {}, [31, 24, 3, 24], limit="none")
    shown = page()
    assert [row["mean_dloss"] for row in shown.csv["formats.csv"]] == ["", "2.0", "2.0"]
    assert "a few faults dominate every mean dLoss, so it is not shown" in shown.text


@pytest.mark.usefixtures("undrawn")
def test_fields_are_those_of_each_format() -> None:
    three()
    measured("-float16", FLOAT16, [15, 14, 10, 9], "bsss")
    rows = page().csv["sdc-by-field.csv"]
    found = {(row["format"], row["field"]): (row["low"], row["high"], row["rows"], float(row["sdc"])) for row in rows}
    assert found == {
        ("float32", "sign"): ("31", "31", "1", 1.0),
        ("float32", "exponent"): ("23", "30", "2", 0.5),
        ("float32", "mantissa"): ("0", "22", "1", 0.0),
        ("float16", "sign"): ("15", "15", "1", 0.0),
        ("float16", "exponent"): ("10", "14", "2", 1.0),
        ("float16", "mantissa"): ("0", "9", "1", 1.0),
        ("int8", "sign"): ("7", "7", "1", 0.0),
        ("int8", "value"): ("0", "6", "3", pytest.approx(2 / 3)),
        ("posit8", "sign"): ("7", "7", "1", 0.0),
        ("posit8", "regime"): ("1", "2", "3", 0.0),
    }
    of_float16 = [row["field"] for row in rows if row["format"] == "float16"]
    assert of_float16 == ["sign", "exponent", "mantissa"]  # from the most significant on
    assert all(float(row["sdc_low"]) <= float(row["sdc"]) <= float(row["sdc_high"]) for row in rows)


@pytest.mark.usefixtures("undrawn")
def test_bits_are_those_of_each_format_and_formats_do_not_share_an_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    three()
    shown = page()
    said = "(float32: sign, exponent, mantissa; int8: sign, value; posit8: sign, body)"
    assert f"Outcomes of flips by bit, the highest bit on the left {said}" in shown.text
    assert re.findall(r"sdc_by_bit-\w+", shown.text) == [
        "sdc_by_bit-net_baseline",
        "sdc_by_bit-net_baseline_int8",
        "sdc_by_bit-net_baseline_posit8",
    ]
    expected = [(31.6, -0.6, [22.5, 30.5]), (7.6, -0.6, [6.5]), (7.6, -0.6, [6.5])]
    assert axes_of_bits(monkeypatch) == expected


def axes_of_bits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float, list[float]]]:
    """Return the ends of each axis of bits, and the boundaries of fields on it."""
    made = []
    monkeypatch.setattr(pages, "html", lambda page: made.append(page) or "")
    run(Config(runs=[NAME], dataset="digits", out=Path("bits.html")))
    found = []
    for _, panel in made[0].panels():
        if panel.key.startswith("outcomes_by_bit"):
            axes = Figure().add_subplot()
            panel.draw(axes, LIGHT)
            found.append((*axes.get_xlim(), sorted(line.get_xdata()[0] for line in axes.lines)))
    return found


@pytest.mark.usefixtures("undrawn")
def test_faults_without_a_bit_are_counted_and_those_of_other_models_are_no_flips() -> None:
    measured("", {}, [-1, 24, 3, -1], fault_model="mixture of 0.5 flip, 0.5 random")
    shown = page()
    assert "Outcomes of faults by bit" in shown.text
    assert "Faults that strike no single bit are not shown: 2 of net-baseline." in shown.text
    assert [row["bit"] for row in shown.csv["sdc-by-bit.csv"]] == ["3", "24"]
    assert sum(int(row["rows"]) for row in shown.csv["sdc-by-field.csv"]) == 2
    assert "4 faults (mixture of 0.5 flip, 0.5 random) in float32 activations" in shown.text
    measured("", {}, [-1] * 4, fault_model="random", pattern="row")
    shown = page()
    assert not {"sdc-by-bit.csv", "sdc-by-field.csv"} & shown.csv.keys()
    assert "No faults of net-baseline strike a single bit, so none has a place here." in shown.text
    assert "4 faults (random, pattern row) in float32 activations" in shown.text
    measured("", {}, [0, 1, 2, 3], fault_model="burst:length=2")
    assert "A burst counts at its lowest bit." in page().text


@pytest.mark.usefixtures("undrawn")
def test_campaigns_of_two_targets_are_shown_and_not_compared() -> None:
    three()
    write_injections(
        NET / "injections-weight.parquet",
        [(site("fc.weight", "weight"), "sb", "ab", [1, 1])],
        model="net",
        target="weight",
    )
    shown = page(f"{NAME}-int8", f"{NAME}-weight")
    assert {row["model"] for row in shown.csv["vulnerability.csv"]} == {f"{NAME}-int8", f"{NAME}-weight"}
    assert "was injected with --target weight, net-baseline-int8 with neuron, which cannot be compared." in shown.text
    assert "improvement.csv" not in shown.csv
    assert "formats.csv" not in shown.csv


def test_the_commands_page_draws_each_format(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_only(monkeypatch, "formats", "sdc_by_field")
    three()
    (NET / "golden-posit8.parquet").unlink()
    invoke("report", NAME, "--dataset", "digits", "--out", "page.html", "-q")
    text = Path("page.html").read_text(encoding="utf-8")
    assert 'aria-label="Formats side by side.' in text
    assert 'aria-label="SDC rate by field.' in text
    for words in (">exponent<", ">regime<", ">posit8<", ">accuracy<"):
        assert words in text
