"""`tgr protect`: what to guard, what that costs, and what it covers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.as_published import AsPublished
from tgr_cli.commands.console import Console, count, in_percent, number, percent
from tgr_cli.commands.gates import GATES, Junit, conclude, prepare_junit
from tgr_cli.commands.session import session

if TYPE_CHECKING:
    from tgr_cli.steps.protect import Result

NAMES = {"top2diff": "Top2Diff", "top1conf": "Top1Conf", "dloss": "dLoss", "mismatch": "mismatch"}


def protect(
    ctx: typer.Context,
    runs: Annotated[
        list[str],
        typer.Argument(help="Runs with a golden run and a campaign, by name or path, as for compare."),
    ],
    technique: Annotated[
        list[str] | None,
        typer.Option(
            help="ilr (inferences with a low confidence run again), flr (feature maps are computed twice) or filr "
            "(both); repeat for more. Default: all that the campaign serves.",
            show_default=False,
        ),
    ] = None,
    target_coverage: Annotated[
        float, typer.Option(help="Share of the SDCs to catch on the analysis images, at the lowest cost.")
    ] = defaults.TARGET_COVERAGE,
    order: Annotated[
        list[str] | None,
        typer.Option(
            help="What makes a feature map vulnerable, beside its share of the work: dloss or mismatch of its faults; "
            "heuristics: value (mean absolute value) or work (nothing else); repeat to compare "
            f"(default: {defaults.ORDER}). Coverage is judged by SDCs in any case.",
            show_default=False,
        ),
    ] = None,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="Confidence that decides what runs again: top2diff or top1conf (default: both for ilr, top2diff for "
            "filr).",
            show_default=False,
        ),
    ] = None,
    rerun_with: Annotated[
        str | None,
        typer.Option(
            help="Run of a lighter model on the same images, on which inferences run again (default: the model "
            "itself). It misses SDCs that it agrees with, and raises false alarms.",
            show_default=False,
        ),
    ] = None,
    rerun_cost: Annotated[
        float | None,
        typer.Option(
            help="Work of an inference of --rerun-with over one of the protected model (default: by "
            "multiply-accumulates, from its campaign).",
            show_default=False,
        ),
    ] = None,
    count_by: Annotated[
        str | None,
        typer.Option(
            help="What counts alike in coverages: sites, neurons or macs (default: as published, macs for flr, neurons "
            "for the others).",
            show_default=False,
        ),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            help="Operations whose faults count, of conv, linear and matmul (default: conv, as published; all if the "
            "campaign has no faults in convolutions).",
            show_default=False,
        ),
    ] = None,
    as_published: AsPublished = None,
    split: Annotated[
        float, typer.Option(help="Share of the images for analysis; protections are judged on the others.")
    ] = defaults.ANALYSIS_SHARE,
    folds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Parts of the analysis images: maps ordered by all parts but one predict the coverage on that one. 1 "
            "predicts on the faults that the maps were ordered by, as published, and promises more than holds.",
        ),
    ] = defaults.FOLDS,
    seed: Annotated[int, typer.Option(min=0, max=o.SEEDS, help="Seed of the division of the images.")] = defaults.SEED,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals.")] = defaults.CONFIDENCE,
    max_overhead: Annotated[
        float | None,
        typer.Option(
            help="Exit with 3 unless the overhead of every chosen protection is at most this with confidence.",
            rich_help_panel=GATES,
        ),
    ] = None,
    min_coverage: Annotated[
        float | None,
        typer.Option(
            help="Exit with 3 unless every chosen protection catches at least this share of the deployment's SDCs with "
            "confidence.",
            rich_help_panel=GATES,
        ),
    ] = None,
    dataset: o.Dataset = defaults.DATASET,
    name: o.Name = None,
    workdir: o.Workdir = defaults.WORKDIR,
    out: o.Out = None,
    junit: Junit = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Choose what to protect from faults: coverage of SDCs against overhead, by technique.

    Chosen on the analysis images (predicted), judged on the deployment images, which had no part in the choice
    (covered). The overhead is in multiply-accumulates. docs/protection.md has the methods. Exit code 3: a gate failed.
    """
    from tgr_cli.artifacts.layout import Workspace
    from tgr_cli.data.source import DataSource
    from tgr_cli.preflight import before

    given = locals() | {"technique": technique or (), "order": order or ()}
    with session(ctx) as console:
        before.protect(Workspace(workdir, DataSource(dataset=dataset, name=name).folder), runs, rerun_with)
        prepare_junit(junit, max_overhead, min_coverage)
        from tgr_cli.steps import protect as step

        result = step.run(o.configure(step.Config, given), console)
        console.wrote(result.path)
    if json:
        gate = result.gate and result.gate.facts
        found = {name: getattr(result, name) for name in ("rows", "unreached", "agreements")}
        console.json({"protection": result.path, **found, "gate": gate})
    else:
        _print(console, result, target_coverage)
    conclude(result.gate, "tgr protect", junit)


def _print(console: Console, result: "Result", target: float) -> None:
    chosen = [row for row in result.rows if row["chosen"]]
    if chosen:
        columns = ("model", "technique", "by", "below", "maps", "predicted (%)", "covered (%)", "overhead (%)")
        console.table(
            f"The cheapest protections with {percent(target)} of the SDCs of the analysis images, and what they cover",
            (*columns, "false alarms (%)"),
            [_cells(row) for row in chosen],
        )
    for sentence in result.unreached:
        console.line(sentence)
    for each in result.agreements:
        console.line(
            f"{each['model']}: maps ordered by {each['order']} agree with those by {NAMES[each['injected']]} with a "
            f"rank correlation of {number(each['spearman'], 3)} (Spearman), {number(each['kendall'], 3)} (Kendall)."
        )
    if not all(row["reliable"] for row in chosen):
        console.note("~ marks coverages that rest on too few SDCs: inject more, or evaluate more images")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    by = ", ".join(NAMES.get(row[name], row[name]) for name in ("order", "criterion") if row[name])
    return (
        row["model"],
        row["technique"],
        by,
        "-" if row["threshold"] is None else number(row["threshold"]),
        "-" if row["maps"] is None else count(row["maps"]),
        in_percent(row["coverage_analysis"]),
        _with_limits(row, "coverage_deployment", "" if row["reliable"] else "~"),
        _with_limits(row, "overhead_deployment"),
        in_percent(row["false_alarms"]),
    )


def _with_limits(row: Mapping[str, Any], name: str, mark: str = "") -> str:
    if row[name] is None:
        return "-"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or low == high:
        return in_percent(row[name]) + mark
    return f"{in_percent(row[name])} ({mark}{in_percent(low)} to {in_percent(high)})"
