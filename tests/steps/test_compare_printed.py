"""`tgr compare`: its tables, documents and JSON, and its gate."""

import json
from typing import Any

import pytest
from toys_artifacts import invoke
from toys_comparison import BASELINE, FOLDER, TEXT, baseline, measured, text
from typer.testing import CliRunner

from tgr_cli.app import app
from tgr_cli.commands import comparison
from tgr_cli.errors import TgrError
from tgr_cli.metrics.improvement import FACTORS


def test_the_command_prints_the_tables_and_the_json():
    baseline()
    text()
    arguments = ("compare", BASELINE, "net-text-descriptions", "--dataset", "digits")
    shown = invoke(*arguments)
    assert (shown.exit_code, shown.stderr) == (0, "wrote runs/digits/comparison.parquet\n")
    for words in (
        "~2.00 (",
        "~7.14 (",
        "75.00 (+0.00)",
        "+350",
        "rests on too little",
        "Accuracy: not distinguishable; images that net-text-descriptions alone gets right: 1, net-baseline alone: 1",
        "~ marks intervals that rest on too little",
    ):
        assert words in shown.stdout
    printed = json.loads(invoke(*arguments, "--json", "--quiet").stdout)
    assert [row["images"] for row in printed["rows"]] == ["own", "common"]


def test_every_factor_has_a_name_in_words():
    assert set(comparison.FACTORS) == set(FACTORS)


def gated(*options: object) -> Any:
    return invoke("compare", "net-baseline", "net-text-descriptions", "--dataset", "digits", "-q", *options)


@pytest.mark.parametrize(
    ("minimum", "code", "verdict", "said"),
    [
        (1.5, 0, "passed", ""),
        (2, 3, "undecided", "tgr: gate undecided: net-text-descriptions's improvement (overall) is 2 ("),
        (3, 3, "failed", "below the gate of 3\n"),
    ],
)
def test_a_gate_sets_the_exit_code(minimum, code, verdict, said):
    measured(BASELINE, "base", 2.0)
    measured(TEXT, "text", 1.0, images_differ=True)
    shown = gated("--min-improvement", minimum, "--json")
    assert shown.exit_code == code
    assert json.loads(shown.stdout)["gate"]["verdict"] == verdict
    assert said in shown.stderr
    assert (shown.stderr == "") is (verdict == "passed")


def test_a_gate_is_on_the_factor_that_is_named_and_all_candidates_are_to_pass():
    measured(BASELINE, "base", 2.0)
    measured(TEXT, "text", 1.0)
    measured(FOLDER / "net-cosine", "cosine", 4.0)
    alone = gated("--min-improvement", 1, "--gate-on", "sdc_overall", "--json")
    assert (alone.exit_code, json.loads(alone.stdout)["gate"]["verdict"]) == (0, "passed")
    both = invoke(
        *("compare", "net-baseline", "net-text-descriptions", "net-cosine"),
        *("--dataset", "digits"),
        *("--min-improvement", 1),
    )
    assert both.exit_code == 3
    assert "tgr: gate failed: net-text-descriptions's improvement (overall) is 2" in both.stderr
    with pytest.raises(TgrError, match=r'--gate-on is "overal"; use one of last_layer, .* Did you mean "overall"'):
        gated("--min-improvement", 1, "--gate-on", "overal")
    with pytest.raises(TgrError, match="--gate-on overall names a factor without a gate; set one with --min-improve"):
        gated("--gate-on", "overall")


def test_the_table_of_candidates_goes_into_documents_alone():
    measured(BASELINE, "base", 2.0)
    measured(TEXT, "text", 1.0)
    arguments = ("compare", "net-baseline", "net-text-descriptions", "--dataset", "digits")
    told = invoke(*arguments, "--markdown")
    assert told.stdout == (
        "| candidate             | accuracy of the baseline (%) | accuracy (gain) (%) | parameters added | MACs added "
        "|      last layer (×) |         overall (×) | Top2Diff of the baseline | Top2Diff | verdict on mean dLoss "
        "| verdict on SDC rate |\n"
        "| --------------------- | ---------------------------: | ------------------: | ---------------: | ---------: "
        "| ------------------: | ------------------: | -----------------------: | -------: | --------------------- "
        "| ------------------- |\n"
        "| net-text-descriptions |                       100.00 |      100.00 (+0.00) |               +9 |         +0 "
        "| 2.00 (2.00 to 2.00) | 2.00 (2.00 to 2.00) |                      0.5 |      0.5 | better                "
        "| not distinguishable |\n"
    )
    assert "wrote runs/digits/comparison.parquet\nthe factors are of mean dLoss, with 99 % intervals" in told.stderr
    assert invoke(*arguments, "--latex", "-q").stdout.splitlines()[4] == (
        r"net-text-descriptions & 100.00 & 100.00 (+0.00) & +9 & +0 & 2.00 (2.00 to 2.00) & 2.00 (2.00 to 2.00) & 0.5 "
        r"& 0.5 & better & not distinguishable \\"
    )


@pytest.mark.parametrize("formats", [("--json", "--latex"), ("--markdown", "--latex"), ("--json", "--markdown")])
def test_one_format_at_once(formats):
    shown = CliRunner().invoke(app, ["compare", "a", "b", *formats])
    assert shown.exit_code == 2
    assert "--json, --markdown and --latex exclude each other" in shown.stderr
