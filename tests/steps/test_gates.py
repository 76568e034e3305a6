"""Gates: verdicts as JUnit XML, and a campaign held against a stored one."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
import typer
from junitparser import Failure, JUnitXml, TestCase
from toys_artifacts import invoke, toy_options

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.commands.gates import GATE_FAILED, conclude
from tgr_cli.errors import TgrError
from tgr_cli.metrics.summary import Gate, worst

VERDICTS = Path("verdicts.xml")
PASSED, FAILED = Gate("passed", "the network's rate is 0.1, within"), Gate("failed", "the <mean> \x1b[1m is 2, above")


def cases() -> list[TestCase]:
    (suite,) = JUnitXml.fromfile(str(VERDICTS))
    assert (suite.tests, suite.failures, suite.errors) == (len(list(suite)), sum(map(bool, map(failures, suite))), 0)
    return list(suite)


def failures(case: TestCase) -> list[Failure]:
    return [result for result in case.result if isinstance(result, Failure)]


def test_a_parser_of_junit_reads_a_test_a_gate() -> None:
    together = worst([PASSED, worst([FAILED, Gate("undecided", "the λ has no interval")])])
    with pytest.raises(typer.Exit) as ended:
        conclude(together, "tgr inject net\x00", VERDICTS)
    assert ended.value.exit_code == GATE_FAILED
    first, second, third = cases()
    assert [case.name for case in (first, second, third)] == ["the network's rate", "the <mean> \\x1b[1m", "the λ"]
    assert first.classname == "tgr inject net\\x00"
    assert failures(first) == []
    assert [failure.type for case in (second, third) for failure in failures(case)] == ["failed", "undecided"]
    assert failures(second)[0].message == "the <mean> \\x1b[1m is 2, above"


def test_a_gate_that_passes_writes_its_test_and_returns() -> None:
    conclude(PASSED, "tgr fit", VERDICTS)
    (case,) = cases()
    assert case.is_passed
    conclude(None, "tgr fit", VERDICTS)


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    return ["--model", "toys:build_toy", *toy_options(tmp_path / "toy")]


RUN = Path("runs/toy/toys-build_toy-baseline")
SMALL = ("--injections", 12, "--quiet")


def test_verdicts_are_written_by_a_command_and_those_of_before_do_not_stay(toy: list[str]) -> None:
    gated = ("inject", *toy, "--injections", 200, "--quiet", "--junit", VERDICTS)
    assert invoke(*gated, "--max-sdc-rate", 0, "--max-dloss", 1000).exit_code == GATE_FAILED
    assert [case.name for case in cases()] == ["the network's sdc + non_finite rate", "the network's mean dLoss"]
    assert failures(cases()[0])[0].type in ("failed", "undecided")
    with pytest.raises(TgrError, match="is for the verdict of a gate, and none is set; set one, or leave"):
        invoke(*gated)
    assert VERDICTS.exists()
    with pytest.raises(TgrError, match="matmul"):
        invoke(*gated, "--max-sdc-rate", 1, "--targets", "matmul")
    assert not VERDICTS.exists()
    Path("notes.xml").write_text("<notes/>")
    with pytest.raises(TgrError, match=r"notes.xml was not written by tgr, .* where a gate's verdict is to be written"):
        invoke("inject", *toy, *SMALL, "--max-sdc-rate", 1, "--junit", "notes.xml")
    assert Path("notes.xml").read_text() == "<notes/>"


def test_a_campaign_that_is_not_worse_than_a_stored_one_passes(toy: list[str]) -> None:
    invoke("inject", *toy, *SMALL)
    shutil.copytree(RUN, stored := Path("stored"))
    for run in (stored, stored / "injections.parquet"):
        told = invoke("inject", *toy, *SMALL, "--seed", 7, "--restart", "--fail-on-change", run, "--junit", VERDICTS)
        assert told.exit_code == 0
        assert [case.is_passed for case in cases()] == [True, True]


def test_a_campaign_that_is_worse_fails(toy: list[str]) -> None:
    """Unlimited exponents do more than limited ones, which --limit tells apart; so the stored outcomes are edited."""
    invoke("inject", *toy, "--injections", 200, "--quiet")
    shutil.copytree(RUN, stored := Path("stored"))
    artifact = store.read(stored / "injections.parquet", INJECTIONS)
    columns = {name: artifact.table[name] for name in artifact.table.column_names}
    columns |= {"outcome": ["masked"] * len(artifact.table), "dloss": [0.0] * len(artifact.table)}
    harmless = pa.table(columns, schema=artifact.table.schema)
    store.write(artifact.path, INJECTIONS, harmless, artifact.provenance)
    told = invoke("inject", *toy, "--injections", 200, "--quiet", "--fail-on-change", artifact.path)
    assert told.exit_code == GATE_FAILED
    assert "mean dLoss is" in told.stderr
    assert "in stored 0 (0 to 0)" in told.stderr
    assert "worse by more than both intervals" in told.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--limit", "none"), "with --limit none, stored with clamp: --fail-on-change would judge that, too"),
        (("--fault-model", "random"), "with --fault-model random, stored with flip"),
        (("--shard", "1/2"), "a gate judges a whole campaign; leave out --shard"),
        (("--out", "stored/injections.parquet"), "injections.parquet is read, and the output would take its place"),
    ],
)
def test_another_kind_of_campaign_is_refused_before_it_is_run(
    options: tuple[str, ...], words: str, toy: list[str]
) -> None:
    invoke("inject", *toy, *SMALL)
    RUN.rename(stored := Path("stored"))
    before = (stored / "injections.parquet").read_bytes()
    with pytest.raises(TgrError, match=words):
        invoke("inject", *toy, *SMALL, *options, "--fail-on-change", stored)
    assert (stored / "injections.parquet").read_bytes() == before
    assert not (RUN / "injections.parquet").exists()


def test_a_stored_campaign_that_is_missing_is_told(toy: list[str]) -> None:
    with pytest.raises(TgrError, match='there is no run "elsewhere" in runs/toy'):
        invoke("inject", *toy, *SMALL, "--fail-on-change", "elsewhere")
