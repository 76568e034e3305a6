"""`tgr protect`: targets out of reach, gates, and what is refused."""

from pathlib import Path

import pytest
from toys_artifacts import invoke
from toys_protection import NET, measured, protect

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.errors import TgrError


def test_without_an_sdc_nothing_is_chosen_and_nothing_is_said_of_reach() -> None:
    measured(sdcs=0.0)
    found = protect("--target-coverage", 0.5)
    assert [row for row in found["rows"] if row["chosen"] or row["coverage_analysis"] is not None] == []
    assert len(found["unreached"]) == 4  # ilr by two criteria, flr, filr
    for sentence in found["unreached"]:
        assert sentence.endswith("chooses nothing, as no fault on the analysis images was an SDC; inject more faults.")


def test_a_target_out_of_reach_is_said_and_fails_a_gate() -> None:
    measured(sdcs=1.0)
    path = NET / "injections.parquet"
    campaign = store.read(path, INJECTIONS)
    sure = campaign.table.column("faulty_top2diff").to_numpy().copy()
    sure[:] = 1.0  # no threshold up to 1 is above it
    table = campaign.table.set_column(
        campaign.table.column_names.index("faulty_top2diff"), INJECTIONS.arrow.field("faulty_top2diff"), [sure.tolist()]
    )
    store.write(path, INJECTIONS, table, campaign.provenance)
    found = protect("--technique", "ilr", "--criterion", "top2diff")
    (sentence,) = found["unreached"]
    assert sentence == "net-baseline: ilr by top2diff cannot catch 0.9 of the analysis images' SDCs."
    assert not any(row["chosen"] for row in found["rows"])
    printed = invoke("protect", "net-baseline", "--dataset", "digits", "--technique", "ilr", "--criterion", "top2diff")
    assert sentence in printed.stdout
    assert protect("--technique", "ilr", "--max-overhead", 1, exit_code=3)["gate"]["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [(("--max-overhead", 0.0), "failed"), (("--min-coverage", 0.01), "undecided"), (("--max-overhead", 1.0), "passed")],
)
def test_gates(gate: tuple[str, float], verdict: str) -> None:
    measured()
    found = protect("--technique", "flr", *gate, exit_code=0 if verdict == "passed" else 3)
    assert found["gate"]["verdict"] == verdict
    assert found["gate"]["sentence"].startswith("net-baseline: flr by dloss: the ")


def test_a_campaign_over_sites_serves_rerunning_alone() -> None:
    measured(maps=False)
    done = invoke("protect", "net-baseline", "--dataset", "digits")
    assert "so without flr and filr" in done.stderr
    assert {row["technique"] for row in protect()["rows"]} == {"ilr"}
    for technique in ("flr", "filr"):
        with pytest.raises(TgrError, match=rf'--technique {technique} needs; run "tgr inject --granularity map" first'):
            protect("--technique", technique)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--technique", "tmr"), r'--technique is "tmr"'),
        (("--order", "loss"), r'--order is "loss"'),
        (("--order", "dloss", "--order", "dloss"), "--order dloss is given twice"),
        (("--criterion", "entropy"), r'--criterion is "entropy"'),
        (("--target-coverage", 0), "--target-coverage is 0; give a share"),
        (("--split", 1), "--split is 1; give the share"),
        (("--folds", 17), "--folds is 17, and 16 images are for analysis"),
        (("--split", 0.99), "leaves 20 for analysis and 0 for deployment"),
        (("--rerun-cost", 0.5), "name its run with --rerun-with"),
        (("--max-overhead", 2), "--max-overhead is 2; give a share"),
        (("--min-coverage", -1), "--min-coverage is -1; give a share"),
        (("--count-by", "layers"), r'--count-by is "layers"'),
    ],
)
def test_what_is_refused(arguments: tuple[object, ...], words: str) -> None:
    measured()
    with pytest.raises(TgrError, match=words):
        protect(*arguments)
    assert not Path("runs/digits/protection.parquet").exists()


def test_runs_need_a_golden_run_and_are_named_once() -> None:
    measured()
    with pytest.raises(TgrError, match='two of the runs are called "net-baseline"'):
        protect("net-baseline")
    (NET / "golden.parquet").unlink()
    with pytest.raises(TgrError, match=r'golden.parquet does not exist.*run "tgr evaluate"'):
        protect()
