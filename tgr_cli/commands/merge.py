"""`tgr merge`: merge the shards of a campaign."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli.commands import options
from tgr_cli.commands.campaign_output import print_campaign
from tgr_cli.commands.session import session


def merge(
    ctx: typer.Context,
    shards: Annotated[
        list[Path],
        typer.Argument(
            help='What "tgr inject --shard" wrote, all of one campaign: files, folders of them, or quoted patterns.'
        ),
    ],
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Merge the shards of a campaign into the files that a single run would have written.

    Needs neither the model nor the data. Writes beside the first shard unless --out is given.
    """
    with session(ctx) as console:
        from tgr_cli.steps import merge as step

        written = step.run(step.Config(shards=tuple(shards), out=out), console)
        console.wrote(*written.paths)
    print_campaign(console, written)
