"""The command lines of a campaign's tasks."""

import re
from pathlib import Path
from typing import Any

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.submit.division import Division
from tgr_cli.submit.runner import Resources


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


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"partition": "all\nrm x"}, r"--partition is 'all\nrm x', where one line is expected; write it without line"),
        ({"sbatch": ("--qos=a\nrm x",)}, r"--sbatch is '--qos=a\nrm x', where one line is expected"),
        ({"sbatch": ("qos=long",)}, '--sbatch is "qos=long", where an option of sbatch is expected, as --sbatch='),
        ({"sbatch": ("--array=1-3",)}, '--sbatch is "--array=1-3", and tgr submit numbers the tasks itself; give it '),
        ({"sbatch": ("-a1-3",)}, '--sbatch is "-a1-3", and tgr submit numbers the tasks itself'),
    ],
)
def test_options_that_break_the_script_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(TgrError, match=f"^{re.escape(told)}"):
        Resources(**given)
