"""`tgr top2diff-sweep`: accuracy, re-runs and covered SDCs as a function of a confidence threshold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.as_published import AsPublished
from tgr_cli.commands.console import Console, in_percent, number
from tgr_cli.commands.gates import GATES, Junit, conclude, prepare_junit
from tgr_cli.commands.session import session

if TYPE_CHECKING:
    from tgr_cli.steps.top2diff_sweep import Result

SHOWN = 0.05  # step of the table's rows; the artifact has all thresholds
SEEN = {"faulty": "with", "golden": "without"}
NAMES = {"top2diff": "Top2Diff", "top1conf": "Top1Conf"}


def top2diff_sweep(
    ctx: typer.Context,
    dataset: o.Dataset = defaults.DATASET,
    name: o.Name = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            help="Run folder, by name or path, or one of its deployments, as net-baseline-int8; repeat for more. "
            "Default: every evaluated run.",
            show_default=False,
        ),
    ] = None,
    golden: Annotated[
        list[Path] | None, typer.Option(help="Artifact of tgr evaluate; repeat for more.", show_default=False)
    ] = None,
    injections: Annotated[
        list[Path] | None,
        typer.Option(help="Artifact of tgr inject, for one of the models (default: the run's).", show_default=False),
    ] = None,
    as_published: AsPublished = None,
    count_by: o.CountBy = defaults.COUNT_BY,
    targets: Annotated[
        str | None,
        typer.Option(
            help="Operations whose faults count, of conv, linear and matmul (default: conv, as published; all if the "
            "campaign has no faults in convolutions).",
            show_default=False,
        ),
    ] = None,
    target_coverage: Annotated[
        float, typer.Option(help="Share of the SDCs to catch, for which the overhead is given.")
    ] = defaults.TARGET_COVERAGE,
    start: Annotated[float, typer.Option(help="Lowest threshold.")] = defaults.START,
    stop: Annotated[float, typer.Option(help="Highest threshold.")] = defaults.STOP,
    step: Annotated[float, typer.Option(help="Distance between thresholds.")] = defaults.STEP,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals.")] = defaults.CONFIDENCE,
    max_overhead: Annotated[
        float | None,
        typer.Option(
            help="Exit with 3 unless every model's overhead at --target-coverage is at most this share with "
            "confidence.",
            rich_help_panel=GATES,
        ),
    ] = None,
    gate_on: Annotated[
        str | None,
        typer.Option(
            help=f"The criterion that --max-overhead is about: top2diff or top1conf (default: {defaults.CRITERION}).",
            rich_help_panel=GATES,
        ),
    ] = None,
    workdir: o.Workdir = defaults.WORKDIR,
    out: o.Out = None,
    junit: Junit = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Sweep a confidence threshold: accuracy without the images below it, and SDCs caught by re-running these.

    The confidence is Top2Diff (top-1 minus top-2 probability) and Top1Conf (top-1 probability), side by side. With
    several models: the thresholds from which a later one is more accurate than the first. Exit code 3: a gate failed.
    """
    from tgr_cli.artifacts.layout import Workspace
    from tgr_cli.data.source import DataSource
    from tgr_cli.preflight import before

    given = locals() | {"run": run or (), "golden": golden or (), "injections": injections or ()}
    with session(ctx) as console:
        workspace = Workspace(workdir, DataSource(dataset=dataset, name=name).folder)
        before.top2diff_sweep(workspace, given["run"], [*given["golden"], *given["injections"]])
        prepare_junit(junit, max_overhead)
        from tgr_cli.steps import top2diff_sweep as sweep

        result = sweep.run(o.configure(sweep.Config, given), console)
        console.wrote(result.path)
    if json:
        found = {name: [vars(each) for each in getattr(result, name)] for name in ("costs", "doubtful", "crossovers")}
        gate = result.gate and result.gate.facts
        console.json({"sweep": result.path, "models": result.models, "rows": result.rows, **found, "gate": gate})
    else:
        _print(console, result)
    conclude(result.gate, "tgr top2diff-sweep", junit)


def _print(console: Console, result: "Result") -> None:
    for model in result.models:
        _print_rows(console, model, [row for row in result.rows if row["model"] == model])
        for cost in result.costs:
            if cost.model == model:
                console.line(_cost(vars(cost)))
        for doubtful in result.doubtful:
            if doubtful.model == model:
                console.line(_doubtful(vars(doubtful)))
        console.line("")
    for crossover in result.crossovers:
        if crossover.deltas:
            found = f"overtakes it at delta {', '.join(number(delta) for delta in crossover.deltas)}"
        else:
            found = (
                "never overtakes it" if crossover.behind else "is not behind it to begin with, and never overtakes it"
            )
        console.line(f"Against {crossover.first}, {crossover.candidate} {found}.")


def _print_rows(console: Console, model: str, rows: Sequence[Mapping[str, Any]]) -> None:
    by_criterion = {name: [row for row in rows if row["criterion"] == name] for name in NAMES}
    pairs = list(zip(*by_criterion.values(), strict=True))
    chosen = [pair for pair in pairs if _is_shown(pair[0]["threshold"])] or pairs
    each = ("accuracy kept (%)", "run again (%)", "SDCs caught (%)")
    counted = ""
    if rows[0]["count_by"]:
        counted = f"; SDCs counted by {rows[0]['count_by']} over {rows[0]['operations']}"
    console.table(
        f"{model}: what a threshold costs and catches{counted}",
        ("threshold", *(f"{name}: {what}" for name in NAMES.values() for what in each)),
        [
            (
                number(pair[0]["threshold"]),
                *(in_percent(row[column]) for row in pair for column in ("accuracy", "overhead", "coverage")),
            )
            for pair in chosen
        ],
    )


def _is_shown(threshold: float) -> bool:
    return abs(threshold / SHOWN - round(threshold / SHOWN)) < 1e-6


def _cost(cost: Mapping[str, Any]) -> str:
    caught = f"{in_percent(cost['target_coverage'])} % of the SDCs"
    by = f"{NAMES[cost['criterion']]} {SEEN[cost['seen']]} the fault"
    if cost["threshold"] is None:
        return f"{by}: no threshold catches {caught}."
    few = "" if cost["reliable"] else "; rests on too few SDCs"
    return (
        f"{by}: {caught} are caught below {number(cost['threshold'])}, with "
        f"{_with_limits(cost, 'overhead')} of the inferences run again{few}."
    )


def _doubtful(doubtful: Mapping[str, Any]) -> str:
    images = f"correct images with a Top2Diff below {number(doubtful['below'])}"
    if doubtful["sdc_rate"] is None:
        return f"No fault struck {images}, so they have no SDC rate."
    few = "" if doubtful["reliable"] else "; rests on too few SDCs"
    return f"SDC rate of {doubtful['images']:,} {images}: {_with_limits(doubtful, 'sdc_rate')}{few}."


def _with_limits(row: Mapping[str, Any], name: str) -> str:
    low, high = (in_percent(row[name + end]) for end in ("_low", "_high"))
    return f"{in_percent(row[name])} % ({low} to {high})"
