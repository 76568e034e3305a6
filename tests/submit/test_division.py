"""The command lines of a campaign's tasks."""

from pathlib import Path

from tgr_cli.submit.division import Division


def test_a_plan_verifies_nothing_even_where_a_variable_says_so() -> None:
    division = Division((("--verify", "2"), ("--seed", "3")), Path("x"), 2, unplanned=frozenset({"--verify"}))
    assert division.plan_task is not None
    assert division.plan_task.words == (
        "inject",
        "--seed",
        "3",
        "--verify",
        "0",
        "--plan-only",
        "--out",
        "x/plan.parquet",
    )
    assert division.shards[0].words[:5] == ("inject", "--verify", "2", "--seed", "3")
