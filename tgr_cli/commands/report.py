"""`tgr report`: what was measured, on one page."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.session import session


def report(
    ctx: typer.Context,
    runs: Annotated[list[str], typer.Argument(help="Run folders, by name or path, the baseline first.")],
    dataset: o.Dataset = defaults.DATASET,
    name: o.Name = None,
    count_by: o.CountBy = defaults.COUNT_BY,
    allow_different: o.AllowDifferent = None,
    workdir: o.Workdir = defaults.WORKDIR,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the page here (default: report.html of the data set).", rich_help_panel=o.OUTPUT),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="Write each plot into this folder as well, as PNG.", rich_help_panel=o.OUTPUT)
    ] = None,
    quiet: o.Quiet = False,
) -> None:
    """Put all that was measured of some runs on one page: an HTML file that needs no network, with the data in it.

    Sections stand for the artifacts there are; what is missing is named with the command that makes it.
    """
    from tgr_cli.artifacts.layout import Workspace
    from tgr_cli.data.source import DataSource
    from tgr_cli.preflight import before

    with session(ctx) as console:
        workspace = Workspace(workdir, DataSource(dataset=dataset, name=name).folder)
        before.report(workspace, runs)
        from tgr_cli.steps import report as step

        given = locals() | {"allow_different": allow_different or ()}
        result = step.run(o.configure(step.Config, given), console)
        console.wrote(result.path)
        if result.pictures:
            console.note(f"wrote {len(result.pictures)} pictures into {png}")
    console.line(str(result.path))
