"""Options of `tgr inject` that say how a campaign is divided among processes, and resumed."""

from typing import Annotated

import typer

from tgr_cli.commands import options

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
Restart = Annotated[
    bool,
    typer.Option(
        "--restart",
        help="Start anew: discard the finished parts of an interrupted campaign, and replace a finished one of other "
        "faults.",
        rich_help_panel=CAMPAIGN,
    ),
]
