"""Options of a campaign on several machines, and what --shard auto stands for in a task of a job array."""

import os
from typing import Annotated

import typer

from tgr_cli.commands.options import MANY
from tgr_cli.reporting import Reporter

Shard = Annotated[
    str | None,
    typer.Option(
        help='Run one part of the campaign, as 2/3; "tgr merge" merges the parts. "auto" takes that of this task of a '
        "job array (Slurm, LSF, AWS Batch …); auto/16 where its scheduler does not tell how many there are.",
        rich_help_panel="Campaign",
    ),
]

Nodes = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MANY,
        help="With --plan-only: print the time that this many machines take, too, with one shard each.",
        rich_help_panel="Campaign",
    ),
]


def shard_of_this_task(shard: str | None, reporter: Reporter) -> str | None:
    """Return `shard` with "auto" replaced from the environment, as "3/16"."""
    from tgr_cli.campaign import job_array

    return job_array.shard_of_this_task(shard, os.environ, reporter)
