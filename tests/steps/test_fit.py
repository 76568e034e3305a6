"""`tgr fit`: failures in time by site and in all, recomputed by hand, and what is refused."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from report_pages import draw_only
from toys_artifacts import invoke, site, stored_in, write_injections

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS, VULNERABILITY
from tgr_cli.errors import TgrError

NET = Path("runs/digits/net-baseline")
CONV, FC = site("conv", "conv", neurons=400, macs=900), site("fc", neurons=10, macs=100)
LETTERS = "abcdefghij"
INT8 = stored_in("int8")


def measured(name: str = "injections", conv: str = "sbbbbbbbbm", fc: str = "ssnbbbbbbb", **facts: Any) -> Path:
    """Write a campaign of ten faults at each of two sites: 1 SDC at conv, 2 and a non-finite outcome at fc."""
    struck = [(at, out, LETTERS, [None if o == "n" else 1.0 for o in out]) for at, out in ((CONV, conv), (FC, fc))]
    return write_injections(NET / f"{name}.parquet", struck, model="net", **facts)


def fit(*arguments: object, run: object = "net-baseline") -> dict[str, dict[str, Any]]:
    done = invoke("fit", run, "--dataset", "digits", "--json", *arguments)
    return {row["site"]: row for row in json.loads(done.stdout)["rows"]}


def test_rates_are_the_sums_made_by_hand() -> None:
    measured(extra=INT8)
    rows = fit("--raw-fit", 1000)
    vulnerability = {"conv": 0.1, "fc": 0.3}  # sdc + non_finite of ten
    printed = {row["site"]: row for row in store.read(NET / "vulnerability.parquet", VULNERABILITY).table.to_pylist()}
    bits = {"conv": 400 * 8, "fc": 10 * 8}
    for name, share in vulnerability.items():
        assert rows[name]["bits"] == bits[name]
        assert rows[name]["fit"] == pytest.approx(1000 * bits[name] / 1e6)
        assert rows[name]["fit_undetected"] == pytest.approx(share * 1000 * bits[name] / 1e6)
        assert rows[name]["fit_detected"] == rows[name]["fit_detected_high"] == 0
        assert printed[name]["failure_rate"] == pytest.approx(share)
        assert rows[name]["spfm_low"] == pytest.approx(1 - printed[name]["failure_rate_high"])
        assert rows[name]["safe_fraction_high"] == pytest.approx(1 - printed[name]["failure_rate_low"])
    whole = rows[""]
    dangerous = sum(vulnerability[name] * 1000 * bits[name] / 1e6 for name in bits)
    assert whole["bits"] == 3280
    assert whole["fit"] == pytest.approx(3.28)
    assert whole["fit_undetected"] == pytest.approx(dangerous) == pytest.approx(0.344)
    assert whole["spfm"] == pytest.approx(1 - 0.344 / 3.28)
    assert whole["fit_undetected_low"] < dangerous < whole["fit_undetected_high"]


def test_the_worked_example_of_the_documentation_is_what_the_command_says() -> None:
    measured(extra=INT8)
    page = (Path(__file__).parents[2] / "docs" / "functional_safety.md").read_text(encoding="utf-8")
    told = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "| 0." in line]
    rows = fit("--raw-fit", 1000)
    assert [line[0] for line in told] == ["conv", "fc", "all"]
    for name, bits, share, rate, undetected, spfm in told:
        row = rows[name if name != "all" else ""]
        assert int(bits.replace(",", "")) == row["bits"]
        assert float(share) == pytest.approx(1 - row["safe_fraction"], abs=5e-5)
        assert (float(rate), float(undetected)) == pytest.approx((row["fit"], row["fit_undetected"]))
        assert float(spfm) == pytest.approx(row["spfm"], abs=5e-5)


@pytest.mark.parametrize(
    ("options", "detected", "undetected"),
    [
        (("--non-finite", "detected"), 0.1 * 0.08, 0.1 * 3.2 + 0.2 * 0.08),
        (("--rerun-below", "0.6"), 0.1 * 3.2 + 0.2 * 0.08, 0.1 * 0.08),  # all SDCs have a Top2Diff of 0.5
        (("--rerun-below", "0.6", "--rerun-on", "top1conf", "--non-finite", "detected"), 0.344, 0.0),
        (("--rerun-below", "0.4"), 0.0, 0.344),
    ],
)
def test_what_a_monitor_detects_is_the_diagnostic_coverage(
    options: tuple[str, ...], detected: float, undetected: float
) -> None:
    measured(extra=INT8)
    for row in fit("--raw-fit", 1000, *options).values():
        assert row["fit"] == pytest.approx(row["fit_safe"] + row["fit_detected"] + row["fit_undetected"])
        assert row["fit_detected_low"] <= row["fit_detected"] <= row["fit_detected_high"]
    assert row["fit_detected"] == pytest.approx(detected)
    assert row["fit_undetected"] == pytest.approx(undetected)
    assert row["diagnostic_coverage"] == pytest.approx(detected / 0.344)
    assert row["spfm"] == pytest.approx(1 - undetected / 3.28)


def test_rates_scale_with_the_raw_rate_and_the_exposure_and_shares_do_not() -> None:
    measured(extra=INT8)
    first, second = fit("--raw-fit", 1000)[""], fit("--raw-fit", 2, "--per", "bit", "--exposure", "0.25")[""]
    assert second["exposure"] == pytest.approx(0.25)
    assert second["fit_undetected_high"] == pytest.approx(first["fit_undetected_high"] * 2000 * 0.25)
    assert second["spfm_low"] == pytest.approx(first["spfm_low"])
    by_work = fit("--raw-fit", 1000, "--exposure", "macs")
    assert by_work["conv"]["exposure"] == pytest.approx(0.9)
    assert by_work[""]["fit_undetected"] == pytest.approx(0.1 * 3.2 * 0.9 + 0.3 * 0.08 * 0.1)


def test_a_large_site_without_a_dangerous_fault_widens_the_bound_of_all() -> None:
    small, large = site("conv", "conv", neurons=10), site("fc", neurons=100_000)
    struck = [(small, "s" * 5 + "b" * 5, LETTERS, [1.0] * 10), (large, "b" * 10, LETTERS, [1.0] * 10)]
    write_injections(NET / "injections.parquet", struck, model="net")
    rows = fit("--raw-fit", 1000)
    distance = rows["fc"]["fit_undetected_high"]
    assert rows["fc"]["fit_undetected"] == 0
    assert rows[""]["fit_undetected_high"] >= rows[""]["fit_undetected"] + distance


@pytest.mark.parametrize(("raw", "share"), [(100, "1"), (0.1, "1"), (7, "0.3"), (1e-3, "0.7")])
def test_one_exposure_of_all_sites_is_that_of_the_network(raw: float, share: str) -> None:
    struck = [(site(f"s{n}", neurons=3 * 7**n + n), "sb", "ab", [1.0, 1.0]) for n in range(6)]
    write_injections(NET / "injections.parquet", struck, model="net")
    row = fit("--raw-fit", raw, "--exposure", share)[""]
    assert row["exposure"] == pytest.approx(float(share))
    assert row["exposure"] <= float(share)
    assert invoke("show", "runs/digits/fit.parquet").exit_code == 0


def test_faults_of_unequal_weight_count_by_it() -> None:
    measured(extra=INT8, weights=[0.2, *[1.0] * 19], sampling="importance")
    assert fit("--raw-fit", 1000)["conv"]["fit_undetected"] == pytest.approx(0.02 * 3.2)


def test_a_fault_in_a_weight_counts_once_however_often_it_was_tried() -> None:
    kernel = site("conv.weight", "weight", neurons=50, per_image=False)
    path = write_injections(
        NET / "injections-weight.parquet", [(kernel, "sbnb", "abab", [1, 1, None, 1])], model="net", target="weight"
    )
    # Two faults of two images each: 0 was an SDC once, 1 non-finite once.
    read = store.read(path, INJECTIONS)
    place = read.table.column_names.index("fault")
    table = read.table.set_column(place, INJECTIONS.arrow.field("fault"), pa.array([0, 0, 1, 1]))
    store.write(path, INJECTIONS, table, read.provenance)
    monitored = ("--raw-fit", 1, "--per", "bit", "--non-finite", "detected")
    once, each = (fit(*monitored, "--lasting-count", how, run=path)[""] for how in ("once", "each"))
    assert once["bits"] == 50 * 32
    assert (once["fit_undetected"], once["fit_detected"]) == pytest.approx((800, 800))
    assert (each["fit_undetected"], each["fit_detected"]) == pytest.approx((400, 400))
    with pytest.raises(TgrError, match="stay in memory; give a share"):
        fit("--raw-fit", 1, "--exposure", "macs", run=path)
    with pytest.raises(TgrError, match="gone in a second run"):
        fit("--raw-fit", 1, "--rerun-below", "0.5", run=path)


def test_gates_pass_fail_and_are_undecided_by_the_interval() -> None:
    measured(extra=INT8)
    high = fit("--raw-fit", 1000)[""]["fit_undetected_high"]
    common = ("fit", "net-baseline", "--dataset", "digits", "--raw-fit", 1000)
    for options, code, verdict in (
        (("--max-fit", high * 1.01), 0, ""),
        (("--max-fit", high * 0.99), 3, "gate undecided"),
        (("--max-fit", 0.0001), 3, "gate failed"),
        (("--min-spfm", 0.4), 0, ""),
        (("--min-spfm", 0.5), 3, "gate undecided"),
        (("--min-spfm", 0.9999), 3, "gate failed"),
    ):
        done = invoke(*common, *options)
        assert done.exit_code == code, done.output
        assert verdict in done.stderr


def test_the_table_the_csv_and_the_artifact_say_the_same() -> None:
    measured(extra=INT8)
    measured("other", fc="bbbbbbbbbb", extra=INT8)
    done = invoke("fit", "net-baseline", NET / "other.parquet", "--dataset", "digits", "--raw-fit", 5, "--csv", "f.csv")
    assert "net-baseline: failures in time by site" in done.stdout
    assert "All sites" in done.stdout
    assert "no control logic" in done.stdout
    assert "--limit clamp" in done.stdout
    with open("f.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["site"]) for row in rows] == [
        (model, at) for model in ("net-baseline", "other") for at in ("conv", "fc", "")
    ]
    assert float(rows[5]["fit_undetected"]) == pytest.approx(0.1 * 5 * 3200 / 1e6)
    shown = invoke("show", "runs/digits/fit.parquet").stdout
    assert "fit, version 1, 6 rows" in shown
    assert "SPFM" in shown or "spfm" in shown


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"config": {"fault_model": "burst:length=3"}}, "--fault-model burst:length=3, and a rate per bit"),
        ({"config": {"fault_model": "random-value"}}, "--fault-model random-value"),
        ({"config": {"fault_model": "flip:field=exponent"}}, "--fault-model flip:field=exponent"),
        ({"config": {"pattern": "row"}}, "--pattern row, which strikes several elements"),
        ({"config": {"strike": "scale"}}, "whose words many values share"),
        ({"config": {"lasting": True}}, "--lasting, as permanent faults"),
        ({"sampling": "list"}, "list of faults, which stands for no population"),
        ({"extra": {"sites": [CONV, FC, site("more")]}}, "no fault at more"),
    ],
)
def test_campaigns_that_give_no_rate_per_bit_are_refused(facts: dict[str, Any], words: str) -> None:
    measured(**facts)
    with pytest.raises(TgrError, match=words):
        fit("--raw-fit", 100)
    assert not Path("runs/digits/fit.parquet").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--raw-fit", -1), "--raw-fit is -1; give the upsets"),
        (("--raw-fit", 0), "--raw-fit is 0; "),
        (("--raw-fit", "nan"), "--raw-fit is nan, where"),
        (("--raw-fit", 1, "--per", "byte"), "--per is"),
        (("--raw-fit", 1, "--exposure", "2"), '--exposure is "2"; give a share'),
        (("--raw-fit", 1, "--exposure", "always"), '--exposure is "always"'),
        (("--raw-fit", 1, "--non-finite", "maybe"), "--non-finite is"),
        (("--raw-fit", 1, "--rerun-below", "7"), "--rerun-below is 7"),
        (("--raw-fit", 1, "--max-fit", "-1"), "--max-fit is -1"),
        (("--raw-fit", 1, "--min-spfm", "99"), "--min-spfm is 99"),
        (("--raw-fit", 1, "--csv", "notes.txt"), "no table that tgr fit wrote"),
    ],
)
def test_what_cannot_be_meant_is_told_in_a_sentence(options: tuple[object, ...], words: str) -> None:
    measured()
    Path("notes.txt").write_text("keep me", encoding="utf-8")
    with pytest.raises(TgrError, match=words):
        fit(*options)
    assert Path("notes.txt").read_text(encoding="utf-8") == "keep me"


def test_a_run_without_injections_says_what_makes_them() -> None:
    NET.mkdir(parents=True)
    with pytest.raises(TgrError, match=r'injections.parquet does not exist; run "tgr inject" first'):
        fit("--raw-fit", 1)


def test_the_report_shows_the_rates_of_the_campaigns_it_reports_on(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_only(monkeypatch, "failures_in_time")
    measured(extra=INT8)
    report = ("report", "net-baseline", "--dataset", "digits", "-q")
    invoke(*report)
    page = Path("runs/digits/report.html")
    assert "Failures in time" not in page.read_text(encoding="utf-8")
    fit("--raw-fit", 1000)
    invoke(*report)
    shown = page.read_text(encoding="utf-8")
    assert "Dangerous undetected faults by site" in shown
    assert "0.344" in shown
    assert "89.51" in shown
    measured(extra=INT8, conv="bbbbbbbbbb")  # another campaign, of which the stored rates are not
    invoke(*report)
    assert "Failures in time" not in page.read_text(encoding="utf-8")
