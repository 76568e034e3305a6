"""Options of `tgr inject` that say how a campaign is divided among processes and machines, and resumed."""

import os
from typing import Annotated

import typer

from tgr_cli.commands import options
from tgr_cli.reporting import Reporter

CAMPAIGN = "Campaign"

Jobs = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=options.WORKERS,
        help="Processes that run faults, each with one thread; 0: one a core. The rows are equal for any number. "
        "Without it, this process runs them with all threads.",
        rich_help_panel=CAMPAIGN,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        help='Run one part of the campaign, as 2/3; "tgr merge" merges the parts. "auto" takes that of this task of a '
        "job array (Slurm, LSF, AWS Batch …); auto/16 where its scheduler does not tell how many there are.",
        rich_help_panel=CAMPAIGN,
    ),
]
Nodes = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=options.MANY,
        help="With --plan-only: print the time that this many machines take, too, with one shard each.",
        rich_help_panel=CAMPAIGN,
    ),
]
Restart = Annotated[
    bool,
    typer.Option(
        "--restart",
        help="Start anew: discard the finished parts of an interrupted campaign, and replace a finished one of other "
        "faults.",
        rich_help_panel=CAMPAIGN,
    ),
]


def shard_of_this_task(shard: str | None, reporter: Reporter) -> str | None:
    """Return `shard` with "auto" replaced from the environment, as "3/16"."""
    from tgr_cli.campaign import job_array

    return job_array.shard_of_this_task(shard, os.environ, reporter)
