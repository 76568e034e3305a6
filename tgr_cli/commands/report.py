"""`tgr report`: one page on one or more runs."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.session import session


def report(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Run folders, by name or path, the baseline first; or single deployments of them, as "
            "net-baseline-int8. A folder is shown with all its deployments, unless one is named.",
            show_default=False,
        ),
    ] = None,
    leaderboard: Annotated[
        Path | None,
        typer.Option(
            help="Instead of runs: a folder, all of whose campaigns are listed on one page, in a table for each way of "
            "measuring that may be compared.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    dataset: o.Dataset = defaults.DATASET,
    name: o.Name = None,
    count_by: o.CountBy = defaults.COUNT_BY,
    allow_different: o.AllowDifferent = None,
    workdir: o.Workdir = defaults.WORKDIR,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the page here (default: report.html of the data set, leaderboard.html of the folder).",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="Write each plot into this folder as well, as PNG.", rich_help_panel=o.OUTPUT)
    ] = None,
    quiet: o.Quiet = False,
) -> None:
    """Write a report on one or more runs: one self-contained HTML file with all plots, tables and data.

    Sections exist for the artifacts found; missing ones are listed with the command that makes them. With
    --leaderboard: one row a campaign, as a project would publish it.
    """
    from tgr_cli.artifacts.layout import Workspace
    from tgr_cli.data.source import DataSource
    from tgr_cli.preflight import before

    with session(ctx) as console:
        workspace = Workspace(workdir, DataSource(dataset=dataset, name=name).folder)
        before.report(workspace, () if leaderboard else runs or ())
        from tgr_cli.steps import report as step

        given = locals() | {"runs": runs or (), "allow_different": allow_different or ()}
        result = step.run(o.configure(step.Config, given), console)
        console.wrote(result.path)
        if result.pictures:
            console.note(f"wrote {len(result.pictures)} pictures into {png}")
    console.line(str(result.path))
