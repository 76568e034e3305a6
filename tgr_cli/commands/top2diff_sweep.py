"""`tgr top2diff-sweep`: accuracy, re-runs and covered SDCs as a threshold on Top2Diff rises."""

from pathlib import Path
from typing import Annotated

import typer

from tgr_cli.commands import options as o
from tgr_cli.commands.console import in_percent, number
from tgr_cli.commands.session import session

SHOWN = 0.05  # the table has one row for each multiple of it; the artifact has all


def top2diff_sweep(
    ctx: typer.Context,
    dataset: o.Dataset = "imagenet",
    name: o.Name = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            help="Run folder, by name or path; repeat for more. Default: every evaluated run.", show_default=False
        ),
    ] = None,
    golden: Annotated[
        list[Path] | None, typer.Option(help="Artifact of tgr evaluate; repeat for more.", show_default=False)
    ] = None,
    injections: Annotated[
        list[Path] | None,
        typer.Option(help="Artifact of tgr inject, for one of the models (default: the run's).", show_default=False),
    ] = None,
    start: Annotated[float, typer.Option(help="Lowest threshold.")] = 0.01,
    stop: Annotated[float, typer.Option(help="Highest threshold.")] = 0.40,
    step: Annotated[float, typer.Option(help="Distance between thresholds.")] = 0.01,
    workdir: o.Workdir = Path("runs"),
    out: o.Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Sweep a threshold on Top2Diff: accuracy without the images below it, and SDCs caught by running those again.

    With several models, the thresholds from which a later one is more accurate than the first.
    """
    from tgr_cli.artifacts.layout import Workspace
    from tgr_cli.data.source import DataSource
    from tgr_cli.steps import before

    given = locals() | {"run": run or (), "golden": golden or (), "injections": injections or ()}
    with session(ctx) as console:
        workspace = Workspace(workdir, DataSource(dataset=dataset, name=name).folder)
        before.top2diff_sweep(workspace, given["run"], [*given["golden"], *given["injections"]])
        from tgr_cli.steps import top2diff_sweep as sweep

        result = sweep.run(o.configure(sweep.Config, given), console)
        console.wrote(result.path)
    if json:
        crossovers = [vars(crossover) for crossover in result.crossovers]
        console.json({"sweep": result.path, "models": result.models, "rows": result.rows, "crossovers": crossovers})
        return
    for model in result.models:
        rows = [row for row in result.rows if row["model"] == model]
        chosen = [row for row in rows if abs(row["delta"] / SHOWN - round(row["delta"] / SHOWN)) < 1e-6] or rows
        console.table(
            f"{model}: what a threshold on Top2Diff costs and catches",
            ("delta", "accuracy kept (%)", "run again (%)", "SDCs caught (%)", "SDCs on images below delta (%)"),
            [
                (
                    number(row["delta"]),
                    *(in_percent(row[c]) for c in ("accuracy", "overhead", "sdc_coverage", "sdc_coverage_golden")),
                )
                for row in chosen
            ],
        )
    for crossover in result.crossovers:
        if crossover.deltas:
            found = f"overtakes it at delta {', '.join(number(delta) for delta in crossover.deltas)}"
        else:
            found = (
                "never overtakes it" if crossover.behind else "is not behind it to begin with, and never overtakes it"
            )
        console.line(f"Against {crossover.first}, {crossover.candidate} {found}.")
