"""The script that a scheduler is given."""

from pathlib import Path

from tgr_cli.submit import script
from tgr_cli.submit.division import Division
from tgr_cli.submit.runner import Resources


def test_a_percent_sign_in_a_folder_is_none_of_slurms_placeholders() -> None:
    printed = script.for_slurm(Division((), Path("50%a.shards"), 2), Path("50%a"), "tgr", Resources(), Path())
    assert "--output 50%%a.shards/plan.log " in printed
    assert "--output 50%%a.shards/shard-%a.log " in printed
    assert "--output 50%%a.shards/merge.log " in printed
    assert "--out 50%a.shards/plan.parquet" in printed
